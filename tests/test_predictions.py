"""Predictions survive the disk, byte for byte, and refuse what they cannot be."""

import time

import numpy as np
import pytest
from robust_transfer.errors import DataError
from robust_transfer.transfer.predictions import Predictions, load_predictions, save_predictions


def some(n=7, classes=3, first=100):
    generator = np.random.default_rng(0)
    return Predictions(
        index=np.arange(first, first + n),
        labels=generator.integers(0, classes, n),
        logits=generator.normal(size=(n, classes)).astype(np.float32),
    )


def test_what_was_saved_is_loaded(tmp_path):
    save_predictions(tmp_path / "a" / "predictions.npz", some())
    loaded = load_predictions(tmp_path / "a" / "predictions.npz")
    for name in ("index", "labels", "logits", "predicted"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(some(), name))
    assert (loaded.index.dtype, loaded.labels.dtype, loaded.logits.dtype) == (
        np.int64, np.int64, np.float32)  # fmt: skip
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["predictions.npz"]


def test_predicted_is_the_first_of_the_largest_logits():
    logits = np.array([[0, 2, 1], [3, 3, 0]], dtype=np.float32)
    assert Predictions(np.arange(2), np.zeros(2, int), logits).predicted.tolist() == [1, 0]


def test_equal_predictions_give_equal_bytes_at_any_time(tmp_path, monkeypatch):
    save_predictions(tmp_path / "one.npz", some())
    monkeypatch.setattr(time, "time", lambda: 2e9)
    save_predictions(tmp_path / "two.npz", some())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_other_number_types_are_cast(tmp_path):
    given = some()
    wide = Predictions(given.index.astype(np.int32), given.labels.astype(np.uint8),
                       given.logits.astype(np.float64))  # fmt: skip
    save_predictions(tmp_path / "p.npz", wide)
    np.testing.assert_array_equal(load_predictions(tmp_path / "p.npz").logits, given.logits)


WRONG = {
    "one of each": {"labels": np.zeros(6, int)},
    "there are logits for": {"labels": np.full(7, 3)},
    "span -1": {"labels": np.full(7, -1)},
    "more than once": {"index": np.zeros(7, int)},
    "diverged": {"logits": np.full((7, 3), np.nan)},
    "with 2": {"logits": np.zeros(7)},
    "no images": {"index": np.zeros(0), "labels": np.zeros(0), "logits": np.zeros((0, 3))},
}


@pytest.mark.parametrize(("message", "wrong"), WRONG.items())
def test_impossible_predictions_are_refused_and_leave_no_file(tmp_path, message, wrong):
    arrays = {name: getattr(some(), name) for name in ("index", "labels", "logits")} | wrong
    with pytest.raises(DataError, match=message):
        save_predictions(tmp_path / "p.npz", Predictions(**arrays))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"p\.npz: no such file"):
        load_predictions(tmp_path / "p.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04cut"])
def test_a_file_of_something_else_is_named(tmp_path, content):
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.npz: not readable as predictions"):
        load_predictions(tmp_path / "p.npz")


def test_a_file_cut_short_is_named(tmp_path):
    path = tmp_path / "p.npz"
    save_predictions(path, some(500))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"p\.npz"):
        load_predictions(path)


def test_a_single_array_is_not_predictions(tmp_path):
    np.save(tmp_path / "p.npy", np.zeros(3))
    with pytest.raises(DataError, match="not readable as predictions"):
        load_predictions(tmp_path / "p.npy")


def test_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "p.npz", index=np.array([object()], dtype=object))
    with pytest.raises(DataError, match="without pickles"):
        load_predictions(tmp_path / "p.npz")


def test_absent_and_wrong_arrays_are_named(tmp_path):
    np.savez(tmp_path / "p.npz", index=np.arange(3), labels=np.arange(3))
    with pytest.raises(DataError, match="no logits"):
        load_predictions(tmp_path / "p.npz")
    np.savez(tmp_path / "p.npz", index=np.arange(3), labels=np.arange(3), logits=np.zeros((3, 3)))
    with pytest.raises(DataError, match="logits: float64"):
        load_predictions(tmp_path / "p.npz")
