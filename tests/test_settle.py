"""Files against their records: content decides, whatever the times say."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from robust_transfer.files import sha256, write_json
from robust_transfer.records import ledger as ledgers
from robust_transfer.records.folders import listing_digest
from robust_transfer.records.ledger import Ledger
from robust_transfer.records.settle import settle

END = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """One job that made two files from one that no rule makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ledgers, "SETTLING_SECONDS", -1.0)
    os.makedirs("results")
    for name in ("given.csv", "results/a.bin", "results/b.bin"):
        with open(name, "wb") as file:
            file.write(name.encode() * 100)
    write_records()
    return tmp_path


def write_records():
    def described(path):
        return {"path": path, "sha256": sha256(path)}

    outputs = [described("results/a.bin"), described("results/b.bin")]
    for output in outputs:
        record = {
            "schema_version": 1, "output": output, "outputs": outputs,
            "inputs": [described("given.csv")],
            "start": END.replace(minute=3).isoformat(), "end": END.isoformat(),
        }  # fmt: skip
        write_json(f"{output['path']}.prov.json", record)


def settled(**more):
    ledger = Ledger("ledger.json")
    found = settle(["results"], ledger, **more)
    ledger.save()
    return found


def change_behind_the_back(path):
    """Change a file's content and give it its size and time back."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_files_that_are_what_their_records_say_are_sound_and_get_their_jobs_time(results):
    os.utime("results/a.bin", (0, 0))
    assert settled().unsound == {}
    assert os.stat("results/a.bin").st_mtime == END.timestamp()


def test_a_time_within_the_job_stays(results):
    os.utime("results/a.bin", (END.timestamp() - 20, END.timestamp() - 20))
    settled()
    assert os.stat("results/a.bin").st_mtime == END.timestamp() - 20


@pytest.mark.parametrize("again", [False, True])
def test_a_changed_byte_is_found_though_size_and_time_are_as_they_were(results, again):
    if again:
        settled()
    change_behind_the_back("results/a.bin")
    assert set(settled().unsound) == {"results/a.bin"}


def test_a_changed_input_that_no_rule_makes_is_found_though_it_is_older(results):
    settled()
    change_behind_the_back("given.csv")
    os.utime("given.csv", (0, 0))
    assert settled().unsound == dict.fromkeys(
        ["results/a.bin", "results/b.bin"], "was made from given.csv, which has changed since"
    )


def test_a_missing_sibling_counts_where_files_belong_together(results):
    os.unlink("results/b.bin")
    assert settled().unsound == {}
    assert "results/a.bin" in settled(complete=["results"]).unsound


def test_an_unchanged_file_is_read_once(results, monkeypatch):
    settled()
    monkeypatch.setattr(ledgers, "sha256", lambda path: pytest.fail(f"read {path} again"))
    assert settled().unsound == {}


def test_a_new_record_is_handed_over_once(results):
    assert set(settled().fresh) == {"results/a.bin", "results/b.bin"}
    assert settled().fresh == {}


def test_a_record_that_speaks_of_another_file_is_left_alone(results):
    os.rename("results/a.bin", "results/c.bin")
    os.rename("results/a.bin.prov.json", "results/c.bin.prov.json")
    assert "results/c.bin" not in settled().fresh


def test_a_damaged_ledger_costs_a_reading_and_no_more(results):
    settled()
    with open("ledger.json", "w") as file:
        file.write("{")
    assert settled().unsound == {}


def test_a_file_of_this_moment_is_not_remembered(tmp_path):
    (tmp_path / "new").write_text("1")
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.sha256(str(tmp_path / "new"))
    assert not ledger.knows(str(tmp_path / "new"))


def test_ten_thousand_sound_files_settle_in_a_moment(results):
    record = json.loads(Path("results/a.bin.prov.json").read_text())
    for number in range(5000):
        path = f"results/{number % 50}/{number}.bin"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"results/a.bin" * 100)
        record["output"]["path"] = path
        with open(f"{path}.prov.json", "w") as file:
            json.dump(record, file)
    settled()
    started = time.process_time()
    settled()
    assert time.process_time() - started < 2


def test_a_listing_sees_images_that_come_go_or_grow_and_no_touch(tmp_path, monkeypatch):
    monkeypatch.setattr(ledgers, "SETTLING_SECONDS", -1.0)
    (tmp_path / "photos/cats").mkdir(parents=True)
    (tmp_path / "photos/cats/1.png").write_bytes(b"1")

    def digest():
        ledger = Ledger(tmp_path / "ledger.json")
        found = listing_digest(str(tmp_path / "photos"), ledger)
        ledger.save()
        return found

    first = digest()
    os.utime(tmp_path / "photos/cats/1.png", (0, 0))
    os.utime(tmp_path / "photos/cats", (0, 0))
    assert digest() == first
    (tmp_path / "photos/cats/2.png").write_bytes(b"1")
    assert digest() != first
    (tmp_path / "photos/cats/2.png").unlink()
    assert digest() == first
    assert listing_digest(str(tmp_path / "none"), Ledger(tmp_path / "x.json")) is None
