"""The source dataset on the device, with its validation split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robust_transfer.images.cache import fixed_size_array, load_cache
from robust_transfer.images.splits import split_validation
from robust_transfer.training.device import to_device


@dataclass(frozen=True)
class Source:
    """The source dataset on the device.

    Attributes:
        images: (n, 3, size, size) uint8.
        labels: (n,) int64.
        classes: names of the classes.
        train, validation, test: row numbers of each split.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Return images and labels of `train`, `validation` or `test`."""
        rows = torch.as_tensor(getattr(self, name), device=self.images.device)
        return self.images[rows], self.labels[rows]


def load_source(
    cache_folder: str | Path,
    *,
    image_size: int,
    validation_fraction: float,
    seed: int,
    device: torch.device,
) -> Source:
    """Put the source on the device and hold a validation split out of its training rows.

    Args:
        cache_folder: the source's image cache.
        image_size: network input, pixels a side; other sizes are resized to it.
        validation_fraction: of the training rows, in [0, 1).
        seed: of the split.
        device: where to.
    """
    cache = load_cache(cache_folder)
    rows = np.arange(len(cache))
    train, validation = split_validation(
        cache.labels[: cache.n_train], fraction=validation_fraction, seed=seed
    )
    return Source(
        images=to_device(fixed_size_array(cache, rows, image_size), device),
        labels=torch.as_tensor(np.array(cache.labels), device=device),
        classes=cache.classes,
        train=train,
        validation=validation,
        test=rows[cache.n_train :],
    )
