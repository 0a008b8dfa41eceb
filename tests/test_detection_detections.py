"""Files of detections: what is saved is what is loaded, and damage is named."""

from dataclasses import replace

import numpy as np
import pytest
from robust_transfer.detection.detections import load_detections, save_detections
from robust_transfer.errors import DataError
from scene_subjects import detections_of, random_scenes

ROWS = [[3, 1, 0.5, 1, 2, 3, 4], [0, 0, 0.25, 5, 6, 7, 8.5]]
SCORED = [0, 2, 3]


def same(first, second):
    for name in ("images", "boxes", "scores", "classes", "scored"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert first.masks == second.masks


@pytest.mark.parametrize("masks", [None, (b"abc", b"")])
def test_what_is_saved_is_loaded(tmp_path, masks):
    detections = detections_of(ROWS, SCORED, masks=masks)
    save_detections(tmp_path / "detections.npz", detections)
    same(load_detections(tmp_path / "detections.npz"), detections)


@pytest.mark.parametrize("masks", [None, ()])
def test_a_detector_that_found_nothing_has_a_file_too(tmp_path, masks):
    detections = detections_of([], SCORED, masks=masks)
    save_detections(tmp_path / "detections.npz", detections)
    same(load_detections(tmp_path / "detections.npz"), detections)


def test_equal_detections_give_equal_bytes(tmp_path):
    detections = detections_of(random_scenes(0)[1], range(4))
    for name in ("one.npz", "two.npz"):
        save_detections(tmp_path / name, detections)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


WRONG = {
    "sorted": {"images": np.array([3, 0])},
    "not in scored": {"images": np.array([0, 1])},
    "no position": {"classes": np.array([0, -1])},
    "not finite": {"scores": np.array([np.nan, 0.5])},
    "a box is not finite": {"boxes": np.full((2, 4), np.inf)},
    "expected float32 of shape": {"boxes": np.zeros((2, 5))},
    "one row a detection": {"scores": np.array([0.5])},
    "stands twice": {"scored": np.array([0, 2, 3, 3])},
    "'masks': 1": {"masks": (b"abc",)},
}


@pytest.mark.parametrize("words", WRONG)
def test_detections_that_contradict_themselves_are_refused(tmp_path, words):
    wrong = replace(detections_of(ROWS, SCORED), **WRONG[words])
    with pytest.raises(DataError, match=words):
        save_detections(tmp_path / "detections.npz", wrong)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_named(tmp_path):
    path = tmp_path / "detections.npz"
    with pytest.raises(DataError, match="no such file"):
        load_detections(path)
    save_detections(path, detections_of(ROWS, SCORED, masks=(b"abc", b"de")))
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole.replace(b"abc", b"abd")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"detections\.npz: not readable"):
            load_detections(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "detections.npz"
    np.savez(path, logits=np.zeros(3))
    with pytest.raises(DataError, match="holds logits, but no images"):
        load_detections(path)
    np.savez(path, images=np.zeros(3))
    with pytest.raises(DataError, match="expected int64"):
        load_detections(path)
