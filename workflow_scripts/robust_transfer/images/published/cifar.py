"""CIFAR-10 and CIFAR-100 from their pickles, without running what a pickle may ask for."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import needed
from robust_transfer.images.selection import thin

# The files were written by Python 2 and NumPy 1.x: arrays are rebuilt by these, nothing else is.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows arrays and builtin values; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file does")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def list_cifar10(root: Path, dataset: dict[str, Any]) -> Listing:
    """List CIFAR-10: five training batches, one test batch."""
    names = _read(root / "batches.meta", dataset)
    train = [_read(root / f"data_batch_{number}", dataset) for number in range(1, 6)]
    test = [_read(root / "test_batch", dataset)]
    return _listing(root, dataset, names, "label_names", train, test, "labels")


def list_cifar100(root: Path, dataset: dict[str, Any]) -> Listing:
    """List CIFAR-100 by its 100 fine classes."""
    names = _read(root / "meta", dataset)
    train, test = [_read(root / "train", dataset)], [_read(root / "test", dataset)]
    return _listing(root, dataset, names, "fine_label_names", train, test, "fine_labels")


def _read(path: Path, dataset: dict[str, Any]) -> dict[str, Any]:
    """Unpickle one file; its keys are bytes or text, as the Python that reads it will."""
    with needed(path, dataset).open("rb") as stream:
        try:
            content = _ArraysOnly(stream, encoding="latin1").load()
        except Exception as error:  # a damaged pickle raises almost anything
            raise DataError(
                f"{path}: this is no file of CIFAR: {error}.\n  Get the archive again."
            ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: this is no file of CIFAR: it holds no mapping.")
    return content


def _listing(
    root: Path,
    dataset: dict[str, Any],
    meta: dict[str, Any],
    names_key: str,
    train: list[dict[str, Any]],
    test: list[dict[str, Any]],
    labels_key: str,
) -> Listing:
    """Lay batches one after the other; classes are sorted, and labels follow."""
    try:
        names = [str(name) for name in meta[names_key]]
        images, labels = [], []
        for batches, key in ((train, "max_train"), (test, "max_test")):
            these = np.concatenate([np.asarray(batch[labels_key], np.int64) for batch in batches])
            pixels = np.concatenate(
                [np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32) for batch in batches]
            )
            if len(these) != len(pixels) or these.min() < 0 or these.max() >= len(names):
                raise ValueError("labels and images disagree")
            rows = thin(these, dataset, key)
            images.append(pixels[rows].transpose(0, 2, 3, 1))
            labels.append(these[rows])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"dataset '{dataset['name']}', {root}: this is no CIFAR archive for Python: {error}.\n"
            "  Get the archive again."
        ) from None
    order = np.argsort(np.array(names))
    return Listing(
        classes=tuple(names[place] for place in order),
        labels=np.argsort(order)[np.concatenate(labels)].astype(np.int64),
        n_train=len(labels[0]),
        source=f"{root.name}, its own train and test batches",
        pixels=np.concatenate(images),
    )
