"""Caches of many files: killed builds go on, end with the same bytes, and memory is bounded."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from robust_transfer.errors import DataError
from robust_transfer.images import parts
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import verify_cache
from workflow import ROOT, environment

FILES = ("images.npy", "shapes.npy", "labels.npy", "files.csv", "manifest.json")
IMAGES = {"name": "many", "kind": "folder", "path": "many", "test_fraction": 0.2, "split_seed": 0}
BUILD = """
import sys
from robust_transfer.images.build import build_cache
if __name__ == "__main__":
    build_cache({dataset!r}, "native", sys.argv[1], data_root=sys.argv[2],
                on_bad_image="leave_out", workers=2)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """900 small images of many sizes in two classes, and one file that is none."""
    root = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / "many" / name).mkdir(parents=True)
        for number in range(450):
            height, width = noise.integers(4, 20, 2)
            pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(root / "many" / name / f"{number:03d}.png")
    (root / "many" / "b" / "broken.png").write_bytes(b"no image")
    return root


def build(folder, root, **how):
    build_cache(IMAGES, "native", folder, data_root=root, **{"on_bad_image": "leave_out"} | how)
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    """The bytes of a build that nothing has disturbed."""
    return build(tmp_path_factory.mktemp("undisturbed") / "cache", root)


@pytest.fixture
def interrupted(root, tmp_path, monkeypatch):
    """A folder whose build was interrupted in its third part."""
    whole = parts._prepare_file

    def interrupt(recipe, index, path):
        if index == 2 * parts.IMAGES + 9:
            raise KeyboardInterrupt
        return whole(recipe, index, path)

    with monkeypatch.context() as patched:
        patched.setattr(parts, "_prepare_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "cache", root)
    (left,) = (tmp_path / "cache").glob(".unfinished-*")
    assert len(list(left.glob("*.json"))) == 2
    return tmp_path / "cache"


def decoded(monkeypatch, folder, root, **how):
    """Build, and return the bytes and which files were decoded."""
    whole, seen = parts._prepare_file, []

    def see(recipe, index, path):
        seen.append(index)
        return whole(recipe, index, path)

    monkeypatch.setattr(parts, "_prepare_file", see)
    return build(folder, root, **how), seen


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3])
def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(root, undisturbed, tmp_path, seconds):
    script = tmp_path / "build.py"
    script.write_text(BUILD.format(dataset=IMAGES), encoding="utf-8")
    cache = tmp_path / "cache"
    words = [sys.executable, script, cache, root]
    path = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    with subprocess.Popen(words, env=environment() | path, start_new_session=True) as process:
        while process.poll() is None and not list(cache.glob(".unfinished-*/*.json")):
            time.sleep(0.005)
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert build(cache, root) == undisturbed
    assert {path.name for path in cache.iterdir()} == set(FILES)
    verify_cache(cache)


def test_what_is_done_is_not_decoded_again(interrupted, root, undisturbed, monkeypatch):
    made, seen = decoded(monkeypatch, interrupted, root)
    assert made == undisturbed
    assert seen == list(range(2 * parts.IMAGES, 901))


def test_a_part_that_was_prepared_and_not_appended_is_used(
    interrupted, root, undisturbed, monkeypatch
):
    (left,) = interrupted.glob(".unfinished-*")
    whole = (left / "images.npy").read_bytes()
    start = 128 + sum(h * w * 3 for h, w in _shapes(undisturbed)[: parts.IMAGES])
    (left / f"{parts.IMAGES:09d}.pixels").write_bytes(whole[start:])  # as if killed before
    (left / "images.npy").write_bytes(whole[: start + 7])
    made, seen = decoded(monkeypatch, interrupted, root)
    assert made == undisturbed
    assert seen == list(range(2 * parts.IMAGES, 901))


def _shapes(made):
    return np.frombuffer(made["shapes.npy"][128:], np.int32).reshape(-1, 2)


def test_a_file_that_changed_since_is_read_again(interrupted, root, tmp_path, monkeypatch):
    changed = root / "many" / "a" / "000.png"
    before, times = changed.read_bytes(), changed.stat()
    try:
        Image.new("RGB", (5, 5), "red").save(changed)
        made, _ = decoded(monkeypatch, interrupted, root)
        assert made == build(tmp_path / "fresh", root)
    finally:
        changed.write_bytes(before)
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("how", [{"code": "other"}, {"native_short_side": 8}])
def test_what_another_question_left_is_not_gone_on_from(
    interrupted, root, tmp_path, monkeypatch, how
):
    made, seen = decoded(monkeypatch, interrupted, root, **how)
    assert len(seen) == 901
    assert made == build(tmp_path / "fresh", root, **how)
    assert not list(interrupted.glob(".unfinished-*"))


def test_a_damaged_part_is_named(interrupted, root):
    (left,) = interrupted.glob(".unfinished-*")
    (left / "images.npy").write_bytes(b"short")
    with pytest.raises(DataError, match="unfinished build is damaged"):
        build(interrupted, root)
    assert not list(interrupted.glob(".unfinished-*"))  # the next one starts anew


def test_two_builds_at_once_do_not_meet(root, undisturbed, tmp_path):
    script = tmp_path / "build.py"
    script.write_text(BUILD.format(dataset=IMAGES), encoding="utf-8")
    words = [sys.executable, script, tmp_path / "cache", root]
    path = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    both = [subprocess.Popen(words, env=environment() | path) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    made = {name: (tmp_path / "cache" / name).read_bytes() for name in FILES}
    assert made == undisturbed
