"""The source dataset, with its validation split; on the device where it fits."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robust_transfer.images.cache import ImageCache, load_cache
from robust_transfer.images.splits import split_validation
from robust_transfer.training.device import free_memory_bytes
from robust_transfer.training.pool import Pool, Streamed, resident


@dataclass(frozen=True)
class Source:
    """The source dataset.

    Attributes:
        cache: its images.
        labels: (n,) int64, on the device.
        train, validation, test: row numbers of each split.
        image_size: network input, pixels a side.
        on_device_mb: a split up to this size, in 10^6 bytes, goes to the device as a whole.
    """

    cache: ImageCache
    labels: Tensor
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    image_size: int
    on_device_mb: float

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.cache.classes

    def pool(
        self, name: str, *, size: int | None = None, rows: slice | np.ndarray = slice(None)
    ) -> Pool:
        """Return the images of a split to draw batches from, and say where they lie.

        Args:
            name: `train`, `validation` or `test`.
            size: pixels a side; None: `image_size`.
            rows: a part of the split: a slice or positions in it.
        """
        size = size or self.image_size
        chosen = getattr(self, name)[rows]
        labels = self.labels[torch.as_tensor(chosen, device=self.labels.device)]
        megabytes, limit = len(chosen) * size * size * 3 / 1e6, self._limit()
        what = f"{self.cache.dataset}, {name}: {len(chosen)} images, {megabytes:.0f} MB"
        if megabytes <= limit:
            _say(f"{what}: on the device ({labels.device}) as a whole")
            return resident(self.cache, chosen, size, labels)
        workers = torch.get_num_threads()
        _say(f"{what}, above {limit:.0f} MB: streamed by {workers} worker processes")
        return Streamed(self.cache, chosen, size, labels, workers)

    def _limit(self) -> float:
        """Return the largest split that goes to the device: no more than half of its free rest."""
        return min(self.on_device_mb, free_memory_bytes(self.labels.device) / 2e6)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load_source(
    cache_folder: str | Path,
    *,
    image_size: int,
    validation_fraction: float,
    seed: int,
    device: torch.device,
    on_device_mb: float,
) -> Source:
    """Open the source and hold a validation split out of its training rows.

    Args:
        cache_folder: the source's image cache.
        image_size: network input, pixels a side; other sizes are resized to it.
        validation_fraction: of the training rows, in [0, 1).
        seed: of the split.
        device: where labels go, and images as far as they fit.
        on_device_mb: see `Source`.
    """
    cache = load_cache(cache_folder)
    train, validation = split_validation(
        cache.labels[: cache.n_train], fraction=validation_fraction, seed=seed
    )
    return Source(
        cache=cache,
        labels=torch.as_tensor(np.array(cache.labels), device=device),
        train=train,
        validation=validation,
        test=np.arange(cache.n_train, len(cache)),
        image_size=image_size,
        on_device_mb=on_device_mb,
    )
