"""Listings of the datasets that need no files: the toy world and the UCI digits."""

from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.selection import split_rows
from robust_transfer.toy_world.render import render


def list_toy(dataset: dict[str, Any]) -> Listing:
    """Render a toy dataset.

    Args:
        dataset: `name`, `alphabet`, `size`, `n_train`, `n_test`, `seed` and `grating`, and
            maybe `contrast`.

    Raises:
        DataError: fewer training images than classes, or what `render` refuses.
    """
    keys = ("size", "n_train", "n_test", "seed", "grating")
    given = {key: dataset[key] for key in keys}
    if dataset.get("contrast") is not None:
        given["contrast"] = dataset["contrast"]
    toy = render(dataset["alphabet"], **given)
    if toy.n_train < len(toy.classes):
        raise DataError(
            f"dataset '{dataset['name']}', n_train: {toy.n_train} images do not cover the "
            f"{len(toy.classes)} classes.\n  Ask for {len(toy.classes)} or more."
        )
    return Listing(
        classes=toy.classes,
        labels=toy.labels,
        n_train=toy.n_train,
        source=f"toy world, alphabet {dataset['alphabet']}, rendered from seed {dataset['seed']}",
        pixels=toy.images,
    )


def list_uci_digits(dataset: dict[str, Any]) -> Listing:
    """List the 1,797 scanned digits, 8x8 in 17 grey levels, that scikit-learn ships.

    Args:
        dataset: `name`, `test_fraction`, `split_seed`, and maybe `max_train`, `max_test`.

    Source: Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49 (test part only).
    """
    from sklearn.datasets import load_digits  # slow to import: only here

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    order, n_train = split_rows(digits.target, dataset)
    return Listing(
        classes=tuple(str(name) for name in digits.target_names),
        labels=digits.target[order].astype(np.int64),
        n_train=n_train,
        source="UCI optical digits (Alpaydin and Kaynak 1998), test part, as scikit-learn ships "
        f"it; test_fraction {dataset['test_fraction']}, split_seed {dataset['split_seed']}",
        pixels=np.repeat(grey[order, :, :, None], 3, axis=-1),
    )
