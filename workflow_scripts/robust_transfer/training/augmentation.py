"""Augmentation of whole batches, on the device that they lie on."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def as_pixels(images: Tensor) -> Tensor:
    """Turn (n, 3, h, w) uint8 into float32 in [0, 1]."""
    return images.float() / 255


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by up to an eighth of its side; the edge is continued by reflection."""
    n, channels, height, width = images.shape
    pad = max(1, height // 8)
    padded = F.pad(as_pixels(images), (pad, pad, pad, pad), mode="reflect")
    down, right = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) + down).view(n, 1, height, 1)
    columns = (torch.arange(width, device=images.device) + right).view(n, 1, 1, width)
    index = torch.arange(n, device=images.device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
    return padded[index, channel, rows, columns].contiguous(memory_format=torch.channels_last)


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    mirrored = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": lambda images, generator: as_pixels(images),
    "shift": _shift,
    "shift_flip": lambda images, generator: _flip(_shift(images, generator), generator),
}


def augmentation(name: str) -> Augmentation:
    """Look an augmentation up.

    Args:
        name: `none`, `shift` (by up to an eighth of the side) or `shift_flip` (and mirrored).

    Returns:
        A function from (n, 3, h, w) uint8 images and a CPU generator to float images in [0, 1]
        of the same shape. Random numbers are drawn on the CPU, so that every device sees the
        same batches.

    Raises:
        ValueError: no such augmentation.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"augmentation '{name}': expected one of {', '.join(AUGMENTATIONS)}.")
    return AUGMENTATIONS[name]
