"""Which images a dataset's definition asks for: the split by a seed, and the thinning."""

from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.splits import draw_stratified, split_validation


def split_rows(labels: np.ndarray, dataset: dict[str, Any]) -> tuple[np.ndarray, int]:
    """Split rows into train and test by `test_fraction` and `split_seed`, and thin both.

    Args:
        labels: (n,) integer classes.
        dataset: `test_fraction`, `split_seed`, and maybe `max_train`, `max_test`.

    Returns:
        Row numbers, training rows first, and how many of them are training rows.
    """
    train, test = split_validation(
        labels, fraction=dataset["test_fraction"], seed=dataset["split_seed"]
    )
    train = train[thin(labels[train], dataset, "max_train")]
    test = test[thin(labels[test], dataset, "max_test")]
    return np.concatenate([train, test]), len(train)


def thin(labels: np.ndarray, dataset: dict[str, Any], key: str) -> np.ndarray:
    """Choose the rows that `max_train` or `max_test` allows: all where the key is not given.

    Args:
        labels: (n,) integer classes of one split.
        dataset: its definition, with `split_seed` where the key is given.
        key: `max_train` or `max_test`.

    Returns:
        Sorted row numbers, in the proportions of the classes.

    Raises:
        DataError: `max_train` is below the number of classes, or there is no `split_seed`.
    """
    at_most = dataset.get(key)
    if at_most is None or at_most >= len(labels):
        return np.arange(len(labels))
    classes = len(np.unique(labels))
    if key == "max_train" and at_most < classes:
        raise DataError(
            f"dataset '{dataset['name']}', max_train: {at_most} images do not cover the "
            f"{classes} classes.\n  Ask for {classes} or more."
        )
    if dataset.get("split_seed") is None:
        raise DataError(
            f"dataset '{dataset['name']}', {key}: images are drawn by chance, and no split_seed "
            "is given.\n  Add split_seed: 0."
        )
    # Train and test are drawn apart, so that thinning one never changes the other.
    seed = 2 * dataset["split_seed"] + (key == "max_test")
    return draw_stratified(labels, at_most=at_most, seed=seed)
