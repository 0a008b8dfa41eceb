"""right_images.npz: which test images each run gets right, beside accuracy.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.files import whole_file
from robust_transfer.statistics.accuracy import read_record
from robust_transfer.statistics.main_rows import is_main
from robust_transfer.statistics.tables import IDENTITY, make_table
from robust_transfer.transfer.predictions import Predictions, load_predictions

#: Runs at one place are scored on the same images.
PLACE = ("dataset", "resolution")
#: Arrays of a place, stored as <name>/<dataset>/<resolution>.
ROWS, RIGHT, LABELS = "rows", "right", "labels"


def right_images(
    accuracy: pd.DataFrame,
    prediction_paths: Sequence[str | Path],
    record_paths: Sequence[str | Path],
) -> dict[str, np.ndarray]:
    """Collect which test images the main runs get right, so that no other table need read them.

    Args:
        accuracy: the rows of accuracy.csv.
        prediction_paths: predictions.npz of each transfer.
        record_paths: transfer.json of each, in the same order.

    Returns:
        Three arrays a place, `<name>/<dataset>/<resolution>`: `rows` (runs,) int64, rows of
        accuracy.csv, rising; `right` (runs, ceil(images / 8)) uint8, a bit an image, as
        `numpy.packbits` has them; `labels` (images,) int64, true classes.

    Raises:
        DataError: runs at one place were scored on different images.
    """
    said = make_table((read_record(path, IDENTITY) for path in record_paths), IDENTITY)
    ours = accuracy[is_main(accuracy) & (accuracy["origin"] == "run")]
    rows = said.reset_index(names="file").merge(ours.reset_index(names="row"), on=list(IDENTITY))
    found: dict[str, np.ndarray] = {}
    for (dataset, resolution), runs in rows.sort_values("row").groupby(list(PLACE)):
        paths = [Path(prediction_paths[file]) for file in runs["file"]]
        reference = load_predictions(paths[0])
        right = [_right(path, load_predictions(path), reference) for path in paths]
        place = f"{dataset}/{resolution}"
        found[f"{ROWS}/{place}"] = runs["row"].to_numpy(np.int64)
        found[f"{RIGHT}/{place}"] = np.packbits(np.stack(right), axis=1)
        found[f"{LABELS}/{place}"] = reference.labels
    return found


def places(stored: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Name the places there are: dataset and resolution, sorted."""
    names = (name.split("/") for name in stored)
    return sorted((dataset, resolution) for what, dataset, resolution in names if what == ROWS)


def unpacked(
    stored: Mapping[str, np.ndarray], dataset: str, resolution: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of accuracy.csv at one place, (runs, images) bool, and the true classes."""
    rows, right, labels = (
        stored[f"{name}/{dataset}/{resolution}"] for name in (ROWS, RIGHT, LABELS)
    )
    return rows, np.unpackbits(right, axis=1, count=len(labels)).astype(bool), labels


def write_right_images(path: str | Path, found: Mapping[str, np.ndarray]) -> None:
    """Write them as .npz, whole or not at all; equal arrays give equal bytes."""
    with whole_file(path) as beside:
        np.savez(beside, allow_pickle=False, **found)


def read_right_images(path: str | Path) -> dict[str, np.ndarray]:
    """Read what `write_right_images` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _right(path: Path, predictions: Predictions, reference: Predictions) -> np.ndarray:
    """Return (images,) bool: which are right, in the order of the reference."""
    order = np.argsort(predictions.index)
    wanted = np.argsort(reference.index)
    same = len(order) == len(wanted) and np.array_equal(
        predictions.index[order], reference.index[wanted]
    )
    if not (same and np.array_equal(predictions.labels[order], reference.labels[wanted])):
        raise DataError(
            f"{path}: scored on other images, or labels, than the other runs of this dataset. "
            "Transfer all of them from the same image cache."
        )
    right = np.empty(len(order), dtype=bool)
    right[wanted] = (predictions.predicted == predictions.labels)[order]
    return right
