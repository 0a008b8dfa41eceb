"""What a transfer works on and what it gives: the dataset on the device, and an outcome."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.images.cache import fixed_size_array, load_cache
from robust_transfer.images.splits import split_validation
from robust_transfer.training.device import to_device
from robust_transfer.transfer.metrics import score


@dataclass(frozen=True)
class Target:
    """The dataset on the device.

    Attributes:
        images: (n, 3, size, size) uint8, training rows first.
        labels: (n,) int64.
        n_train: number of training rows.
        classes: number of classes.
        metric: `top1` or `mean_per_class`: what validation is judged by.
    """

    images: Tensor
    labels: Tensor
    n_train: int
    classes: int
    metric: str

    def validation_split(self, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
        """Return row numbers of the training rows to train on and of those held out.

        Where every class has a single image nothing can be held out: validation is then the
        training split itself, and chooses next to nothing.
        """
        labels = self.labels[: self.n_train].cpu().numpy()
        train, held_out = split_validation(labels, fraction=fraction, seed=seed)
        chosen = held_out if len(held_out) else train
        device = self.labels.device
        return torch.as_tensor(train, device=device), torch.as_tensor(chosen, device=device)

    def validation_score(self, logits: Tensor, rows: Tensor) -> float:
        """Return the dataset's metric of (n, classes) logits on `rows`, in [0, 1]."""
        return score(self.metric, logits.float().cpu().numpy(), self.labels[rows].cpu().numpy())


@dataclass(frozen=True)
class Outcome:
    """What one seed of a transfer gave.

    Attributes:
        logits: (n_test, classes) float32 on the test split.
        validation_accuracy: by the dataset's metric, of what was chosen.
        selected: what validation chose, in words.
        images_through_network: forward passes, counted in images.
    """

    logits: Tensor
    validation_accuracy: float
    selected: str
    images_through_network: int


def load_target(
    cache_folder: str | Path, *, image_size: int, metric: str, device: torch.device
) -> Target:
    """Read a cache at the network's input size and put it on the device."""
    cache = load_cache(cache_folder)
    if cache.n_train == len(cache):
        raise DataError(f"{cache_folder}: the dataset has no test images to score a transfer on.")
    rows = np.arange(len(cache))
    return Target(
        images=to_device(fixed_size_array(cache, rows, image_size), device),
        labels=torch.as_tensor(np.array(cache.labels), device=device),
        n_train=cache.n_train,
        classes=len(cache.classes),
        metric=metric,
    )


def frozen(backbone: Backbone) -> Backbone:
    """Return the backbone in eval mode with no gradient for any weight."""
    return backbone.eval().requires_grad_(False)
