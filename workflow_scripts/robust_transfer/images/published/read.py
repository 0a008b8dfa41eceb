"""Which reader reads which published dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robust_transfer.config.published import published_datasets
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.cifar import list_cifar10, list_cifar100
from robust_transfer.images.published.gather import needed
from robust_transfer.images.published.matlab import list_cars, list_flowers
from robust_transfer.images.published.per_class import (
    list_birdsnap,
    list_caltech101,
    list_caltech256,
)
from robust_transfer.images.published.sources import (
    list_imagenet,
    list_tiny_imagenet,
    list_train_and_val,
)
from robust_transfer.images.published.text import (
    list_aircraft,
    list_dtd,
    list_food,
    list_pets,
    list_sun397,
)

READERS: dict[str, Callable[[Path, dict[str, Any]], Listing]] = {
    "aircraft": list_aircraft,
    "birdsnap": list_birdsnap,
    "caltech101": list_caltech101,
    "caltech256": list_caltech256,
    "cars": list_cars,
    "cifar10": list_cifar10,
    "cifar100": list_cifar100,
    "dtd": list_dtd,
    "flowers": list_flowers,
    "food": list_food,
    "imagenet": list_imagenet,
    "imagenette": list_train_and_val,
    "pets": list_pets,
    "stylized_imagenet": list_train_and_val,
    "sun397": list_sun397,
    "tiny_imagenet": list_tiny_imagenet,
}


def list_published(dataset: dict[str, Any], data_root: str | Path) -> Listing:
    """List a published dataset from the layout of its original archive.

    Args:
        dataset: `name`, `kind`, and maybe `path`, `split`, `partition`, `split_seed`,
            `max_train`, `max_test`.
        data_root: folder below which it lies, at `path` or where the table of datasets says.

    Raises:
        DataError: it is not there, or its files contradict each other; the message says what to
            get and how it must lie.
    """
    kind = dataset["kind"]
    root = Path(data_root, dataset.get("path") or published_datasets()[kind].folder)
    return READERS[kind](needed(root, dataset), dataset)
