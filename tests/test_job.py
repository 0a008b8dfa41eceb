"""What every script shares: its log, its errors in words, its records."""

import errno
import json
import sys
from types import SimpleNamespace

import pytest
from robust_transfer.errors import DataError
from robust_transfer.files import sha256
from robust_transfer.records.job import recorded


class Named(list):
    """A list with names, as the workflow hands it to a script."""

    def __init__(self, **named):
        super().__init__(named.values())
        self.named = named

    def items(self):
        return self.named.items()


def job(tmp_path):
    (tmp_path / "in.txt").write_text("in")
    return SimpleNamespace(
        rule="make_thing",
        input=Named(source=str(tmp_path / "in.txt")),
        output=Named(thing=str(tmp_path / "out.txt")),
        params=Named(settings={"epsilon": 0.25}, code="abc"),
        wildcards=Named(seed="1"),
        log=[str(tmp_path / "log/thing.log")],
        threads=1,
        scriptdir=str(tmp_path),
    )


def test_a_job_that_ends_well_leaves_a_record_beside_its_output(tmp_path):
    with recorded(job(tmp_path)):
        (tmp_path / "out.txt").write_text("out")
        print("half way", file=sys.stderr)
    record = json.loads((tmp_path / "out.txt.prov.json").read_text())
    assert record["output"]["sha256"] == sha256(tmp_path / "out.txt")
    assert record["inputs"][0]["sha256"] == sha256(tmp_path / "in.txt")
    assert record["params"] == {"settings": {"epsilon": 0.25}, "code": "abc"}
    assert record["wildcards"] == {"seed": "1"}
    assert record["environment"]["packages"]["torch"]
    assert record["seconds"] >= 0
    assert "half way" in (tmp_path / "log/thing.log").read_text()


def test_a_mistake_of_the_user_is_told_in_words_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, recorded(job(tmp_path)):
        raise DataError("cats/broken.png: not an image. Remove it.")
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert "Error in make_thing: cats/broken.png: not an image." in said
    assert "Traceback" not in said
    assert "broken.png" in (tmp_path / "log/thing.log").read_text()
    assert not (tmp_path / "out.txt.prov.json").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "not permitted")],
)
def test_a_disk_that_cannot_be_written_is_named(tmp_path, capsys, number, words):
    with pytest.raises(SystemExit), recorded(job(tmp_path)):
        raise OSError(number, "the system's words", "/results/thing")
    assert words in capsys.readouterr().err


def test_a_fault_of_the_program_shows_its_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit), recorded(job(tmp_path)):
        raise ZeroDivisionError
    assert "Traceback" in capsys.readouterr().err


def test_the_log_is_spared_the_redrawing_of_bars(tmp_path):
    with recorded(job(tmp_path)):
        (tmp_path / "out.txt").write_text("out")
        print("\r 10%", file=sys.stderr, end="")
        print("done", file=sys.stderr)
    assert (tmp_path / "log/thing.log").read_text() == "done\n"
