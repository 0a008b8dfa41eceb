"""Features of a frozen backbone: of the images, and views of them, that one job needs."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from robust_transfer.attacks.batches import by_batches
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.progress import progress
from robust_transfer.training.augmentation import Drawn, augmentation
from robust_transfer.training.device import half_precision
from robust_transfer.training.evaluation import BATCH, logits_of
from robust_transfer.training.randomness import derived_generator
from robust_transfer.transfer.target import BROKEN, Target, frozen

BLOCK = 4 * BATCH  # images asked for at a time: their features are there twice


class Features(torch.nn.Module):
    """The backbone without its head.

    Args:
        backbone: whose features are taken.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Return the (n, d) features of images in [0, 1]."""
        return self.backbone.features(images)


@dataclass
class Passes:
    """What sending images through the network took.

    Attributes:
        images: how many.
        seconds: in all.
    """

    images: int = 0
    seconds: float = 0.0

    def seconds_of(self, images: int) -> float:
        """Return what so many images take on average."""
        return self.seconds * images / self.images if images else 0.0


class Source(Protocol):
    """Where features come from: the network, or a file that another job has written.

    Attributes:
        width: of the features.
        plain: what those of images as they are took.
        views: what those of augmented views took.
        reading: seconds that another job took to read the images, where this one does not.
        peak_memory_bytes: that another job held.
    """

    width: int
    plain: Passes
    views: Passes
    reading: float
    peak_memory_bytes: int

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images."""

    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some images."""


class Network:
    """Computes features.

    Args:
        backbone: on the device; it is frozen: BatchNorm too uses the source's statistics.
        target: the dataset, on the same device.
        augment: name of the augmentation of the views.
    """

    reading, peak_memory_bytes = 0.0, 0

    def __init__(self, backbone: Backbone, target: Target, augment: str) -> None:
        self.network, self.target = Features(frozen(backbone)), target
        self.augment, self.width = augmentation(augment), backbone.feature_dim
        self.plain, self.views = Passes(), Passes()
        self.drawn: tuple[tuple[int, int] | None, Drawn] = None, {}

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images.

        Raises:
            DataError: they are not finite.
        """
        started = time.monotonic()
        return self._checked(logits_of(self.network, self.target.images[rows]), self.plain, started)

    @torch.inference_mode()
    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some training images.

        The copy of an image is the same whichever others are asked for with it.

        Raises:
            DataError: they are not finite.
        """
        started = time.monotonic()
        drawn, found = self._draw(seed, view), []
        for some in rows.split(BATCH):
            own = {name: each[some.cpu()] for name, each in drawn.items()}
            images = self.augment.apply(self.target.images[some], own)
            with half_precision(images.device):
                found += by_batches(self._ask_about(images), len(images), BATCH)
        return self._checked(torch.cat(found), self.views, started)

    def _draw(self, seed: int, view: int) -> Drawn:
        """Draw the random numbers of every training image; those drawn last are remembered."""
        if self.drawn[0] != (seed, view):
            generator = derived_generator(seed, "views", view)
            height, width = self.target.images.shape[2:]
            batches = torch.arange(self.target.n_train).split(BATCH)
            parts = [self.augment.draw(len(each), height, width, generator) for each in batches]
            numbers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            self.drawn = (seed, view), numbers
        return self.drawn[1]

    def _ask_about(self, images: Tensor) -> Callable[[slice], Tensor]:
        return lambda rows: self.network(images[rows]).float()

    @staticmethod
    def _checked(features: Tensor, passes: Passes, started: float) -> Tensor:
        """Count what was computed; refuse features that are no numbers."""
        if not bool(torch.isfinite(features).all()):
            raise DataError(BROKEN)
        passes.images += len(features)
        passes.seconds += time.monotonic() - started
        return features


def in_blocks(
    source: Source, rows: Tensor, views: Sequence[tuple[Tensor, int, int]]
) -> Iterator[Tensor]:
    """Yield features block by block, and say how far it is.

    Args:
        source: where they come from.
        rows: of the images, whose features come first.
        views: rows, seed and number of each view.
    """
    asked: list[tuple[Callable[..., Tensor], tuple[Any, ...]]]
    asked = [(source.of, (block,)) for block in rows.split(BLOCK)]
    asked += [
        (source.of_view, (block, seed, view))
        for of_view, seed, view in views
        for block in of_view.split(BLOCK)
    ]
    for ask, what in progress(asked, total=len(asked), label="features"):
        yield ask(*what)


def feature_bytes(rows: int, width: int) -> int:
    """Return the memory that a `Bank` takes, with what is on its way there.

    Args:
        rows: of its matrix.
        width: of the features.
    """
    return 4 * width * (rows + 3 * BLOCK)


class Bank:
    """The features that some seeds need, each once, side by side in one matrix.

    Args:
        source: where they come from.
        test: (k,) rows of the test images.
        labelled: of each seed, the (m,) rows of its labelled images.
        seeds: what draws the views of each.
        views: augmented copies of each labelled image.

    Attributes:
        values: (rows, d) float32, on the device.
        source: as given.
    """

    def __init__(
        self, source: Source, test: Tensor, labelled: Sequence[Tensor], seeds: Sequence[int],
        views: int,
    ) -> None:  # fmt: skip
        self.source, self._labelled, self._views = source, labelled, views
        self._rows = torch.cat([test, *labelled]).unique()  # in the order of the cache
        total = len(self._rows) + views * sum(map(len, labelled))
        self.values = torch.empty(total, source.width, device=self._rows.device)
        asked = [
            (rows, seed, view)
            for rows, seed in zip(labelled, seeds, strict=True)
            for view in range(views)
        ]
        start = 0
        for features in in_blocks(source, self._rows, asked):
            self.values[start : start + len(features)] = features
            start += len(features)

    def places(self, rows: Tensor) -> Tensor:
        """Return where in `values` the features of images are.

        Args:
            rows: of test images or of labelled images of any seed.
        """
        return torch.searchsorted(self._rows, rows)

    def places_with_views(self, rows: Tensor, place: int) -> Tensor:
        """Return where the features of some labelled images of a seed are, then of each view.

        Args:
            rows: (n,) some of the labelled images of the seed.
            place: of the seed among the seeds.
        """
        before = sum(len(each) for each in self._labelled[:place]) * self._views
        size = len(self._labelled[place])
        start = len(self._rows) + before
        inside = torch.searchsorted(self._labelled[place], rows)
        return torch.cat(
            [self.places(rows), *(start + view * size + inside for view in range(self._views))]
        )

    def seconds_of(self, images: int, views: int) -> float:
        """Return what reading the images, and features of so many images and views, take."""
        source = self.source
        return source.reading + source.plain.seconds_of(images) + source.views.seconds_of(views)
