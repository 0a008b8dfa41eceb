"""Files appear whole or not at all."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from robust_transfer import files
from robust_transfer.files import sha256, whole_file, write_array, write_json, write_text


def test_a_file_that_fails_half_way_is_as_it_was(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def fail():
        with whole_file(path) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made(tmp_path):
    write_array(tmp_path / "a/b/c.npy", np.arange(3))
    assert np.load(tmp_path / "a/b/c.npy").tolist() == [0, 1, 2]


def test_a_record_needs_a_schema_version_and_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="schema_version"):
        write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"schema_version": 1, "x": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "a.json", {"schema_version": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"schema_version": 1}


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    """Each writes its own; the later one's bytes stand, whole."""
    with whole_file(tmp_path / "a.bin") as first:
        first.write_bytes(b"first" * 1000)
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(write_text, tmp_path / "a.bin", "second").result()
        assert (tmp_path / "a.bin").read_text() == "second"
    assert (tmp_path / "a.bin").read_bytes() == b"first" * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch):
    """The kernel's own answer: /dev/full takes no byte."""
    (tmp_path / "a.txt").write_text("old")

    def write_to_a_full_disk():
        with whole_file(tmp_path / "a.txt") as beside:
            beside.symlink_to("/dev/full")
            beside.write_text("new")

    with pytest.raises(OSError, match="No space left"):
        write_to_a_full_disk()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "weights (best).safetensors"
    code = (
        "import os, signal, sys; from robust_transfer.files import whole_file\n"
        "with whole_file(sys.argv[1]) as beside:\n"
        "    beside.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    library = Path(files.__file__).parents[1]
    words, variables = [sys.executable, "-c", code, str(path)], {"PYTHONPATH": str(library)}
    killed = subprocess.run(words, env=os.environ | variables, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    other = tmp_path / left.name.replace("weights (best)", "weights (last)")
    other.write_bytes(b"of another file")
    elsewhere = tmp_path / left.name.replace(socket.gethostname(), "elsewhere")
    elsewhere.write_bytes(b"of another machine, where the process may run")
    with whole_file(path) as slow:  # a writer that runs is left alone
        slow.write_bytes(b"slow")
        with ThreadPoolExecutor() as pool:
            pool.submit(write_text, path, "quick").result()
        assert path.read_text() == "quick"
    assert {each.name for each in tmp_path.iterdir()} == {path.name, other.name, elsewhere.name}
    assert path.read_bytes() == b"slow"
