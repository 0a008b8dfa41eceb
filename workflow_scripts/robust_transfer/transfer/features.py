"""Features of a frozen backbone: of the images, and views of them, that one job needs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from robust_transfer.attacks.batches import by_batches
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.device import half_precision
from robust_transfer.training.evaluation import BATCH, logits_of
from robust_transfer.training.randomness import derived_generator
from robust_transfer.transfer.target import BROKEN, frozen


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
    """

    width: int
    plain: Passes
    views: Passes
    reading: float

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images."""

    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some images."""


class Network:
    """Computes features.

    Args:
        backbone: on the device; it is frozen: BatchNorm too uses the source's statistics.
        images: (n, 3, size, size) uint8, on the same device.
        augment: name of the augmentation of the views.
    """

    def __init__(self, backbone: Backbone, images: Tensor, augment: str) -> None:
        self.network, self.images = Features(frozen(backbone)), images
        self.augment = augmentation(augment)
        self.width, self.reading = backbone.feature_dim, 0.0
        self.plain, self.views = Passes(), Passes()

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images.

        Raises:
            DataError: they are not finite.
        """
        started = time.monotonic()
        return self._checked(logits_of(self.network, self.images[rows]), self.plain, started)

    @torch.inference_mode()
    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some images.

        Raises:
            DataError: they are not finite.
        """
        started = time.monotonic()
        generator = derived_generator(seed, "views", view)
        found = []
        for some in rows.split(BATCH):
            images = self.augment(self.images[some], generator)
            with half_precision(images.device):
                found += by_batches(self._ask_about(images), len(images), BATCH)
        return self._checked(torch.cat(found), self.views, started)

    def _ask_about(self, images: Tensor) -> Any:
        return lambda rows: self.network(images[rows]).float()

    @staticmethod
    def _checked(features: Tensor, passes: Passes, started: float) -> Tensor:
        """Count what was computed; refuse features that are no numbers."""
        if not bool(torch.isfinite(features).all()):
            raise DataError(BROKEN)
        passes.images += len(features)
        passes.seconds += time.monotonic() - started
        return features


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
        self.values[: len(self._rows)] = source.of(self._rows)
        start = len(self._rows)
        for rows, seed in zip(labelled, seeds, strict=True):
            for view in range(views):
                self.values[start : start + len(rows)] = source.of_view(rows, seed, view)
                start += len(rows)

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
