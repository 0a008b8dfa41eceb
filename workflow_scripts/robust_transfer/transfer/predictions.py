"""Per-image predictions of the test split: what every statistic is computed from."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import whole_file

#: Arrays of the file: name -> (type, number of dimensions).
ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "index": (np.int64, 1),
    "labels": (np.int64, 1),
    "logits": (np.float32, 2),
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a transferred model says of each test image.

    Attributes:
        index: (n,) int64, row of the image in its cache; no row twice.
        labels: (n,) int64, true classes, 0 .. classes - 1.
        logits: (n, classes) float32, finite.
    """

    index: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int64: the class of the largest logit; of equal ones, the first."""
        return self.logits.argmax(axis=1)


def save_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write predictions as .npz, whole or not at all; equal predictions give equal bytes.

    Args:
        path: where to, ending in .npz.
        predictions: cast to the types of `Predictions`.

    Raises:
        DataError: shapes do not fit, a label has no logit, an image stands twice, or a logit is
            not finite (the training diverged).
    """
    arrays = {
        name: np.ascontiguousarray(getattr(predictions, name), dtype=kind)
        for name, (kind, _) in ARRAYS.items()
    }
    _check(path, Predictions(**arrays))
    with whole_file(path) as beside:
        np.savez(beside, allow_pickle=False, **arrays)


def load_predictions(path: str | Path) -> Predictions:
    """Read what `save_predictions` wrote.

    Raises:
        DataError: the file is missing, damaged, or does not hold predictions.
    """
    arrays = _read(path)
    absent = [name for name in ARRAYS if name not in arrays]
    if absent:
        raise DataError(
            f"{path}: holds {', '.join(arrays) or 'nothing'}, but no {', '.join(absent)}. "
            f"A file of predictions holds {', '.join(ARRAYS)}."
        )
    predictions = Predictions(**{name: arrays[name] for name in ARRAYS})
    _check(path, predictions)
    return predictions


def _read(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file. Predictions are made by a transfer.")
    try:
        with zipfile.ZipFile(path):  # np.load leaves its file open when the archive is damaged
            pass
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not readable as predictions ({error}). Expected an .npz of "
            f"{', '.join(ARRAYS)}, without pickles; delete the file to have it made again."
        ) from error


def _check(path: str | Path, predictions: Predictions) -> None:
    """Raise DataError where arrays contradict `Predictions`."""
    for name, (kind, dimensions) in ARRAYS.items():
        array = getattr(predictions, name)
        if array.dtype != kind or array.ndim != dimensions:
            raise DataError(
                f"{path}, {name}: {array.dtype} with {array.ndim} dimensions, expected "
                f"{np.dtype(kind)} with {dimensions}."
            )
    index, labels, logits = predictions.index, predictions.labels, predictions.logits
    if not len(index) == len(labels) == len(logits):
        raise DataError(
            f"{path}: {len(index)} indices, {len(labels)} labels and {len(logits)} rows of "
            "logits; expected one of each for every test image."
        )
    if not len(labels):
        raise DataError(f"{path}: no images. The test split must hold at least one.")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(
            f"{path}, labels: span {labels.min()} to {labels.max()}, but there are logits for "
            f"the classes 0 to {logits.shape[1] - 1}."
        )
    if len(np.unique(index)) < len(index):
        raise DataError(f"{path}, index: an image stands more than once; each is scored once.")
    if not np.isfinite(logits).all():
        bad = int((~np.isfinite(logits).all(axis=1)).sum())
        raise DataError(
            f"{path}, logits: not finite for {bad} of {len(logits)} images: the training "
            "diverged. Lower its learning rate."
        )
