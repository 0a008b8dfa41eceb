"""Images to draw batches from: on the device, or streamed from the cache."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from robust_transfer.images.cache import ImageCache, fixed_size_array
from robust_transfer.training.device import to_device

Batch = tuple[Tensor, Tensor]


class Pool(Protocol):
    """Images and labels to draw batches from; both kinds give the same batches."""

    @property
    def labels(self) -> Tensor:
        """(n,) int64, on the device."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield one batch for each tensor of positions: uint8 images and int64 labels."""
        ...


@dataclass(frozen=True)
class Resident:
    """A pool that lies on the device as a whole.

    Attributes:
        images: (n, 3, height, width) uint8.
        labels: (n,) int64, same device.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield the images and labels at each tensor of positions."""
        for positions in order:
            chosen = positions.to(self.labels.device)
            yield self.images[chosen], self.labels[chosen]


@dataclass(frozen=True)
class Streamed:
    """A pool that stays in the memory-mapped cache; worker processes read ahead.

    Attributes:
        cache: where the images lie.
        rows: (n,) which images of it.
        size: pixels a side to which they are brought.
        labels: (n,) int64, on the device that batches go to.
        workers: processes that read; 0: this one reads.
    """

    cache: ImageCache
    rows: np.ndarray
    size: int
    labels: Tensor
    workers: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield the images and labels at each tensor of positions, read ahead of time."""
        from torch.utils.data import DataLoader  # a second of import

        device = self.labels.device
        kept: list[Tensor] = []  # positions that workers were asked for, oldest first

        def asked() -> Iterator[np.ndarray]:
            for positions in order:
                kept.append(positions)
                yield positions.cpu().numpy()

        loader: DataLoader[Tensor] = DataLoader(
            _Reader(self.cache, self.rows, self.size),  # type: ignore[arg-type]
            sampler=_Once(asked()),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=device.type == "cuda",
        )
        for images in loader:
            positions = kept.pop(0).to(device)
            on_device = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
            yield on_device, self.labels[positions]


class _Once:
    """An iterator as the sampler of a loader, which asks for no length."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.batches


@dataclass(frozen=True)
class _Reader:
    """What a worker process holds: it opens the cache's files itself."""

    cache: ImageCache
    rows: np.ndarray
    size: int

    def __getitem__(self, positions: np.ndarray) -> Tensor:
        """Return (n, size, size, 3) uint8."""
        return torch.from_numpy(fixed_size_array(self.cache, self.rows[positions], self.size))


def resident(cache: ImageCache, rows: np.ndarray, size: int, labels: Tensor) -> Resident:
    """Read images and put them on the device of their labels."""
    return Resident(to_device(fixed_size_array(cache, rows, size), labels.device), labels)
