"""Logits and accuracy of a model over many images."""

import torch
from torch import Tensor, nn

from robust_transfer.training.pixels import as_pixels

BATCH = 512


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
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        batches = [model(as_pixels(batch)).float() for batch in images.split(BATCH)]
    return torch.cat(batches)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that the model gets right, in [0, 1]."""
    return float((logits_of(model, images).argmax(1) == labels).float().mean())
