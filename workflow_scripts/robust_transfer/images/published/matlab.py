"""Datasets annotated in MATLAB files: Stanford Cars and Oxford Flowers."""

from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import Pairs, gather, needed


def list_cars(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Stanford Cars: cars_train and cars_test, named by devkit/cars_meta.mat."""
    meta = needed(root / "devkit" / "cars_meta.mat", dataset)
    classes = [str(name) for name in np.atleast_1d(_variable(meta, "class_names"))]

    def part(split: str, annotations: Path) -> Pairs:
        rows = np.atleast_1d(_variable(needed(annotations, dataset), "annotations"))
        names = rows.dtype.names or ()
        if not {"class", "fname"} <= set(names):
            raise DataError(
                f"{annotations}: the annotations have the fields {', '.join(names) or 'none'}, "
                "expected class and fname: is this the test file without labels?\n  "
                "The labels of the test images are in cars_test_annos_withlabels.mat."
            )
        labels = [_one_of(int(row["class"]), classes, annotations) for row in rows]
        return [
            (f"cars_{split}/{row['fname']}", name) for row, name in zip(rows, labels, strict=True)
        ]

    train = part("train", root / "devkit" / "cars_train_annos.mat")
    test = part("test", root / "cars_test_annos_withlabels.mat")
    return gather(root, train, test, dataset, split="train and test")


def list_flowers(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Oxford Flowers: train and validation together, and test, as the paper.

    Classes are numbers of three digits, as the archive names none.
    """
    labels_file = needed(root / "imagelabels.mat", dataset)
    labels = np.atleast_1d(_variable(labels_file, "labels"))
    sets = needed(root / "setid.mat", dataset)

    def part(*keys: str) -> Pairs:
        pairs = []
        for number in np.concatenate([np.atleast_1d(_variable(sets, key)) for key in keys]):
            if not 1 <= number <= len(labels):
                raise DataError(
                    f"{sets}: image {number}, where {labels_file.name} has labels of "
                    f"{len(labels)} images. Get both files again."
                )
            pairs.append((f"jpg/image_{number:05d}.jpg", f"{labels[number - 1]:03d}"))
        return pairs

    train, test = part("trnid", "valid"), part("tstid")
    return gather(root, train, test, dataset, split="train and validation, test")


def _one_of(number: int, classes: list[str], path: Path) -> str:
    """Return the name of a class, numbered from 1."""
    if not 1 <= number <= len(classes):
        raise DataError(f"{path}: class {number}, where cars_meta.mat names {len(classes)}.")
    return classes[number - 1]


def _variable(path: Path, name: str) -> np.ndarray:
    """Return one variable of a .mat file (MATLAB 5 to 7.2), as numbers, text or records."""
    from scipy.io import loadmat  # slow to import: only here

    try:
        return loadmat(path, squeeze_me=True, variable_names=[name])[name]
    except KeyError:
        raise DataError(f"{path}: it holds no variable '{name}'. Get the file again.") from None
    except Exception as error:  # scipy raises many kinds on damaged files
        raise DataError(f"{path}: cannot be read as a MATLAB file: {error}.") from None
