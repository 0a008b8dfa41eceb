"""Logits and accuracy of a model over many images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_transfer.attacks.batches import by_batches
from robust_transfer.training.device import half_precision
from robust_transfer.training.pixels import as_pixels
from robust_transfer.training.pool import Pool

BATCH = 512
CHUNK = 4 * BATCH  # images taken out of a pool at a time


@torch.inference_mode()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of a model in eval mode, batch by batch.

    Args:
        model: maps float images in [0, 1] to logits (or features).
        images: (n, 3, height, width) uint8, on the model's device.

    Returns:
        (n, classes) float32, on the same device.
    """
    model.eval()

    def ask(rows: slice) -> Tensor:
        return model(as_pixels(images[rows])).float()

    with half_precision(images.device):
        answers = by_batches(ask, len(images), BATCH)
        return torch.cat(answers) if answers else ask(slice(0))


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that the model gets right, in [0, 1]."""
    return float((logits_of(model, images).argmax(1) == labels).float().mean())


def right_over(pool: Pool, is_right: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Ask of every image of a pool whether it is right.

    Args:
        pool: of images.
        is_right: from (m, 3, h, w) uint8 images and (m,) labels to (m,) bool.

    Returns:
        (n,) bool, on the device.
    """
    chunks = pool.batches(torch.arange(len(pool)).split(CHUNK))
    found = [is_right(images, labels) for images, labels in chunks]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.bool)


def rightly_classified(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the question whether the model gets clean images right, for `right_over`."""
    return lambda images, labels: logits_of(model, images).argmax(1) == labels
