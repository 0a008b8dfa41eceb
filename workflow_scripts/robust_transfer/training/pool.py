"""Images to draw batches from: on the device, or streamed from the cache."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from robust_transfer.images.cache import ImageCache
from robust_transfer.training.device import sent, to_device
from robust_transfer.training.squares import squares

Batch = tuple[Tensor, Tensor]
Question = TypeVar("Question", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


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
        images: (n, 3, height, width) uint8, or (n, ...) of what stands for them.
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
            chosen = sent(positions, self.labels.device)
            yield _selected(self.images, chosen), self.labels[chosen]


def _selected(images: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen images; each is one run of bytes, which `index_select` copies quickest."""
    if images.ndim != 4:  # stand-ins for images, such as their positions
        return images[chosen]
    return images.permute(0, 2, 3, 1).index_select(0, chosen).permute(0, 3, 1, 2)


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
        device = self.labels.device
        kept: list[Tensor] = []  # positions that were asked for, oldest first

        def asked() -> Iterator[np.ndarray]:
            for positions in order:
                kept.append(positions)
                yield positions.cpu().numpy()

        reader = _Reader(self.cache, self.rows, self.size)
        for images in read_ahead(reader, asked(), workers=self.workers, device=device):
            positions = sent(kept.pop(0), device)
            on_device = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
            yield on_device, self.labels[positions]


class Reader(Protocol[Question, Answer]):
    """Reads what a question names; it travels to worker processes."""

    def __getitem__(self, question: Question) -> Answer:
        """Return tensors, or lists and dicts of them."""
        ...


def read_ahead(
    reader: Reader[Question, Answer],
    questions: Iterator[Question],
    *,
    workers: int,
    device: torch.device,
) -> Iterator[Answer]:
    """Yield the answer to each question, in order; worker processes read ahead of time.

    Args:
        reader: answers; each worker holds a copy of it.
        questions: gone through once.
        workers: processes that read; 0: this one reads.
        device: where answers go next; memory is pinned for a GPU.
    """
    if not workers:
        yield from (reader[question] for question in questions)
        return
    from torch.utils.data import DataLoader  # a second of import

    loader: DataLoader[Answer] = DataLoader(
        reader,  # type: ignore[arg-type]
        sampler=_Once(questions),
        batch_size=None,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    yield from loader


class _Once:
    """An iterator as the sampler of a loader, which asks for no length."""

    def __init__(self, questions: Iterator[Any]) -> None:
        self.questions = questions

    def __iter__(self) -> Iterator[Any]:
        return self.questions


@dataclass(frozen=True)
class _Reader:
    """What a worker process holds: it opens the cache's files itself."""

    cache: ImageCache
    rows: np.ndarray
    size: int

    def __getitem__(self, positions: np.ndarray) -> Tensor:
        """Return (n, size, size, 3) uint8."""
        return torch.from_numpy(_pixels(self.cache, self.rows[positions], self.size))


def resident(cache: ImageCache, rows: np.ndarray, size: int, labels: Tensor) -> Resident:
    """Read images and put them on the device of their labels."""
    return Resident(to_device(_pixels(cache, rows, size), labels.device), labels)


def _pixels(cache: ImageCache, rows: np.ndarray, size: int) -> np.ndarray:
    """Read images with the threads that this process has: a worker process has one."""
    return squares(cache, rows, size, torch.get_num_threads())
