"""Damaged caches and disks that refuse: the file or folder is named, and nothing is half."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from robust_transfer.errors import DataError
from robust_transfer.images import write
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache, verify_cache

TOY = {"size": 16, "n_train": 24, "n_test": 13, "seed": 0, "grating": 0}
DIGITS = {"name": "toy_digits", "kind": "toy", "alphabet": "digits", **TOY}
FILES = ["images.npy", "labels.npy", "manifest.json", "shapes.npy"]


def build(dataset, folder):
    build_cache(dataset, "native", folder, data_root=folder, on_bad_image="stop")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    build(DIGITS, tmp_path / "cache")
    (tmp_path / "cache" / name).unlink()
    with pytest.raises(DataError, match=name):
        load_cache(tmp_path / "cache")


@pytest.mark.parametrize("name", ["images.npy", "shapes.npy", "labels.npy"])
def test_a_truncated_array_is_named(tmp_path, name):
    build(DIGITS, tmp_path / "cache")
    path = tmp_path / "cache" / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=name):
        load_cache(tmp_path / "cache")


def test_arrays_that_disagree_are_refused(tmp_path):
    build(DIGITS, tmp_path / "cache")
    np.save(tmp_path / "cache" / "labels.npy", np.zeros(5, np.int64))
    with pytest.raises(DataError, match="disagree"):
        load_cache(tmp_path / "cache")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
def test_a_manifest_that_is_none_or_too_new_is_refused(tmp_path, text):
    build(DIGITS, tmp_path / "cache")
    (tmp_path / "cache" / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="manifest"):
        load_cache(tmp_path / "cache")


@pytest.mark.parametrize("name", ["images.npy", "shapes.npy", "labels.npy"])
def test_one_changed_byte_is_found_by_the_checksums(tmp_path, name):
    build(DIGITS, tmp_path / "cache")
    verify_cache(tmp_path / "cache")
    path = tmp_path / "cache" / name
    content = bytearray(path.read_bytes())
    content[-8 if name == "labels.npy" else -1] ^= 1
    if name == "shapes.npy":  # swapped height and width: same number of bytes, other picture
        path.write_bytes(path.read_bytes()[:-8] + np.array([8, 32], np.int32).tobytes())
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        verify_cache(tmp_path / "cache")


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / "cache" / ".unfinished-of-another-question"
    left.mkdir(parents=True)
    (left / "images.npy").write_bytes(b"half")
    build(DIGITS, tmp_path / "cache")
    assert not left.exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not permitted"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_what_the_disk_refuses_is_explained(tmp_path, monkeypatch, number, words):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(write.PixelStream, "append", refuse)
    with pytest.raises(DataError, match=words) as raised:
        build(DIGITS, tmp_path / "cache")
    assert str(tmp_path / "cache") in str(raised.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_device_is_explained(tmp_path, monkeypatch):
    """Linux's /dev/full takes every write as a disk without space does."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    whole = write.PixelStream.__init__
    monkeypatch.setattr(
        write.PixelStream, "__init__", lambda self, path: whole(self, Path("/dev/full"))
    )
    with pytest.raises(DataError, match="disk is full"):
        build(DIGITS | {"n_train": 400}, tmp_path / "cache")


def test_a_file_in_place_of_the_folder_is_explained(tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match="a file, not a folder"):
        build(DIGITS, tmp_path / "cache")
