"""What a transfer works on and what it gives: the dataset on the device, and an outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.images.cache import load_cache
from robust_transfer.images.splits import draw_per_class, split_validation
from robust_transfer.training.device import to_device
from robust_transfer.training.squares import squares
from robust_transfer.transfer.metrics import score

FEW = 8  # images that show whether a backbone takes them at all
BROKEN = "the backbone's features are not finite: pretrain it again."


@dataclass(frozen=True, eq=False)
class Split:
    """The labelled training images of one seed.

    Attributes:
        train: (n,) row numbers to train on.
        held_out: (m,) row numbers that choose; none where no class has two images.
    """

    train: Tensor
    held_out: Tensor

    @property
    def labelled(self) -> Tensor:
        """All row numbers whose labels are seen, sorted."""
        return torch.cat([self.train, self.held_out]).sort().values


@dataclass(frozen=True)
class Target:
    """The dataset on the device.

    Attributes:
        images: (n, 3, size, size) uint8, training rows first; none where features stand for them.
        labels: (n,) int64.
        n_train: number of training rows.
        classes: number of classes.
        metric: `top1` or `mean_per_class`: what validation is judged by.
        label_budget: labelled training images a class; None: all.
    """

    images: Tensor
    labels: Tensor
    n_train: int
    classes: int
    metric: str
    label_budget: int | None = None

    @property
    def test(self) -> Tensor:
        """The images of the test split."""
        return self.images[self.n_train :]

    @property
    def test_rows(self) -> Tensor:
        """The row numbers of the test split."""
        return torch.arange(self.n_train, len(self.labels), device=self.labels.device)

    def split(self, fraction: float, seed: int) -> Split:
        """Draw the labelled images of a seed, and hold a share of them out for choosing.

        Budgets are nested: the images of a smaller one are among those of a larger. A class with a
        single labelled image keeps it to train on; where every class has one, none is held out.

        Args:
            fraction: of the labelled images, in (0, 1).
            seed: of both draws.
        """
        labels = self.labels[: self.n_train].cpu().numpy()
        rows = np.arange(self.n_train)
        if self.label_budget is not None:
            rows = draw_per_class(labels, per_class=self.label_budget, seed=seed)
        train, held_out = split_validation(labels[rows], fraction=fraction, seed=seed)
        device = self.labels.device
        return Split(
            torch.as_tensor(rows[train], device=device),
            torch.as_tensor(rows[held_out], device=device),
        )

    def score(self, logits: Tensor, rows: Tensor) -> float:
        """Return the dataset's metric of (n, classes) logits on `rows`, in [0, 1]."""
        return score(self.metric, logits.float().cpu().numpy(), self.labels[rows].cpu().numpy())


@dataclass(frozen=True)
class Outcome:
    """What one seed of a transfer gave.

    Attributes:
        logits: (n_test, classes) float32 on the test split.
        validation_accuracy: by the dataset's metric, of what was chosen; None where validation
            did not choose.
        selected: what was chosen, in words.
        selected_on: `validation`, `test`, or `none` where nothing could be held out.
        split: the labelled images.
        images_through_network: forward passes, counted in images.
        model: makes the transferred model: images in [0, 1] to logits.
        seconds_elsewhere: of this transfer's work that was not done when it was asked for: before
            the job was stopped, or once for all seeds.
        peak_memory_elsewhere: bytes that a job held which worked for this one.
        notes: what a reader should know about the data or the features.
    """

    logits: Tensor
    validation_accuracy: float | None
    selected: str
    selected_on: str
    split: Split
    images_through_network: int
    model: Callable[[], nn.Module]
    seconds_elsewhere: float = 0.0
    peak_memory_elsewhere: int = 0
    notes: tuple[str, ...] = ()


def load_target(
    cache_folder: str | Path,
    *,
    image_size: int,
    metric: str,
    device: torch.device,
    label_budget: int | None = None,
    enlarged: float = 1.0,
    with_images: bool = True,
) -> Target:
    """Read a cache at the network's input size and put it on the device.

    Args:
        cache_folder: of the dataset.
        image_size: network input, pixels a side; images of other sizes are resized to it.
        metric: `top1` or `mean_per_class`.
        device: where to.
        label_budget: labelled training images a class; None: all.
        enlarged: images are resized to this multiple of `image_size` and the middle is taken.
        with_images: whether anything looks at them.

    Raises:
        DataError: a split of the dataset is empty, or it has a single class.
    """
    cache = load_cache(cache_folder)
    if cache.n_train == len(cache):
        raise DataError(f"{cache_folder}: the dataset has no test images to score a transfer on.")
    if not cache.n_train:
        raise DataError(f"{cache_folder}: the dataset has no training images.")
    if len(cache.classes) < 2:
        raise DataError(f"{cache_folder}: the dataset has one class: there is nothing to tell.")
    side = round(image_size * enlarged)
    edge = round((side - image_size) / 2)
    middle = slice(edge, edge + image_size)
    rows = np.arange(len(cache) if with_images else 0)
    pixels = squares(cache, rows, side, torch.get_num_threads())
    pixels = pixels[:, middle, middle]
    return Target(
        images=to_device(pixels, device),
        labels=torch.as_tensor(np.array(cache.labels), device=device),
        n_train=cache.n_train,
        classes=len(cache.classes),
        metric=metric,
        label_budget=label_budget,
    )


def check_takes(backbone: Backbone, images: Tensor) -> None:
    """Send a few images through.

    Raises:
        DataError: the network cannot take images of this size, or what it says of them is no
            number.
    """
    try:
        with torch.inference_mode():
            features = backbone.eval().features(images[:FEW].float() / 255)
    except (RuntimeError, ValueError) as error:
        height, width = images.shape[2:]
        raise DataError(
            f"the backbone cannot take images of {height} x {width} pixels: {error}.\n  "
            "Choose a larger pretrain.image_size, or another architecture."
        ) from error
    if not bool(torch.isfinite(features).all()):
        raise DataError(BROKEN)


def frozen(backbone: Backbone) -> Backbone:
    """Return the backbone in eval mode with no gradient for any weight."""
    return backbone.eval().requires_grad_(False)
