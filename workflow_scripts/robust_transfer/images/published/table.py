"""Images that a CSV file lists: columns path and label, and split where it has one."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError, did_you_mean
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import gather, lines_of
from robust_transfer.images.selection import split_rows

SPLITS = {"train": 0, "test": 1, "val": 1, "valid": 1}


def list_table(path: Path, dataset: dict[str, Any]) -> Listing:
    """List the images of a CSV file.

    Args:
        path: the file; image paths count from its folder.
        dataset: `name`, and `test_fraction` with `split_seed` where the file has no column split.

    Raises:
        DataError: a column is missing, a line is too short, a split is unknown, or as `gather`.
    """
    rows = list(csv.reader(lines_of(path, dataset)))
    header = [name.strip() for name in rows[0]]
    for column in ("path", "label"):
        if column not in header:
            hint = did_you_mean(column, header)
            raise DataError(f"{path}: no column '{column}'; it has {', '.join(header)}.{hint}")
    entries = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(row)} cells, where the header has {len(header)}."
            )
        entry = dict(zip(header, (cell.strip() for cell in row), strict=True))
        if not (entry["path"] and entry["label"]):
            raise DataError(f"{path}, line {number}: the path or the label is empty.")
        entries.append(entry)
    pairs = [(entry["path"], entry["label"]) for entry in entries]
    test = _test_rows(path, header, entries, dataset)
    if test is None:
        labels = np.unique([label for _, label in pairs], return_inverse=True)[1]
        order, n_train = split_rows(labels, dataset)
        words = f"test_fraction {dataset['test_fraction']}, split_seed {dataset['split_seed']}"
        drawn = [pairs[row] for row in order]
        without = {"max_train": None, "max_test": None}  # split_rows has thinned already
        return gather(path.parent, drawn[:n_train], drawn[n_train:], dataset | without, split=words)
    learned = [pair for pair, held in zip(pairs, test, strict=True) if not held]
    tested = [pair for pair, held in zip(pairs, test, strict=True) if held]
    return gather(path.parent, learned, tested, dataset, split="its column split")


def _test_rows(
    path: Path, header: list[str], entries: list[dict[str, str]], dataset: dict[str, Any]
) -> list[int] | None:
    """Say of each row whether it is a test row; None: test_fraction makes the split."""
    fraction = dataset.get("test_fraction")
    if ("split" in header) == (fraction is not None):
        given = "both a column split and" if fraction is not None else "neither a column split nor"
        raise DataError(f"dataset '{dataset['name']}', {path}: {given} test_fraction. Give one.")
    if fraction is not None:
        return None
    for entry in entries:
        if entry["split"] not in SPLITS:
            raise DataError(
                f"{path}: unknown split '{entry['split']}'. Choose one of {', '.join(SPLITS)}."
                + did_you_mean(entry["split"], SPLITS)
            )
    return [SPLITS[entry["split"]] for entry in entries]
