"""Augmentation of whole batches, on the device that they lie on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robust_transfer.training import imagenet_augmentation as imagenet
from robust_transfer.training.device import sent
from robust_transfer.training.pixels import as_pixels

Drawn = dict[str, Tensor]  # random numbers by name, one row an image


class Augments(Protocol):
    """What makes the images that a network is trained on from those that a batch holds."""

    def share(self, images: Tensor, generator: torch.Generator, *, n: int, rows: slice) -> Tensor:
        """Augment some images of a batch as they would be with all the others."""


@dataclass(frozen=True)
class Augmentation:
    """Draws random numbers for a batch, and changes the images by them.

    Drawing is apart, so that several processes draw the numbers of one batch alike and each
    applies those of its own images. Numbers are drawn on the CPU: every device sees the same
    batches.

    Attributes:
        draw: from number of images, height, width and a CPU generator to random numbers.
        apply: from (n, 3, h, w) uint8 images and their numbers to float images in [0, 1].
    """

    draw: Callable[[int, int, int, torch.Generator], Drawn]
    apply: Callable[[Tensor, Drawn], Tensor]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment (n, 3, h, w) uint8 images: float32 in [0, 1]."""
        return self.share(images, generator, n=len(images), rows=slice(None))

    def share(self, images: Tensor, generator: torch.Generator, *, n: int, rows: slice) -> Tensor:
        """Augment some images of a batch as they would be with all the others.

        Args:
            images: (m, 3, h, w) uint8, the batch's `rows`.
            generator: on the CPU.
            n: images of the whole batch.
            rows: which of them are given.
        """
        drawn = self.draw(n, images.shape[2], images.shape[3], generator)
        return self.apply(images, {name: each[rows] for name, each in drawn.items()})


def _draw_nothing(n: int, height: int, width: int, generator: torch.Generator) -> Drawn:
    return {}


def _draw_shift(n: int, height: int, width: int, generator: torch.Generator) -> Drawn:
    down, right = torch.randint(0, 2 * _pad(height) + 1, (2, n, 1), generator=generator)
    return {"down": down, "right": right}


def _draw_shift_flip(n: int, height: int, width: int, generator: torch.Generator) -> Drawn:
    shifts = _draw_shift(n, height, width, generator)
    return shifts | {"mirrored": torch.rand(n, generator=generator) < 0.5}


def _pad(height: int) -> int:
    return max(1, height // 8)


def _shift(images: Tensor, drawn: Drawn) -> Tensor:
    """Move each image by up to an eighth of its side; the edge is continued by reflection."""
    n, channels, height, width = images.shape
    pad = _pad(height)
    down, right = (sent(drawn[name], images.device) for name in ("down", "right"))
    rows = _reflected(torch.arange(height, device=images.device) + down - pad, height)
    columns = _reflected(torch.arange(width, device=images.device) + right - pad, width)
    first = height * torch.arange(n, device=images.device).view(n, 1)
    places = (first + rows).view(n, height, 1) * width + columns.view(n, 1, width)
    # Whole pixels, still bytes, are moved: quicker than floats channel by channel, and
    # `index_select` three times as quick as an index.
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    moved = pixels.index_select(0, places.flatten()).view(n, height, width, channels)
    return as_pixels(moved.permute(0, 3, 1, 2))


def _reflected(places: Tensor, size: int) -> Tensor:
    """Bring places outside 0 to size - 1 back by reflection at the first and the last."""
    places = places.abs()
    return torch.minimum(places, 2 * (size - 1) - places)


def _shift_flip(images: Tensor, drawn: Drawn) -> Tensor:
    return imagenet.mirror(_shift(images, drawn), drawn["mirrored"])


def _imagenet(size: int | None) -> Augmentation:
    def apply(images: Tensor, drawn: Drawn) -> Tensor:
        return imagenet.apply(images, drawn, size=size or images.shape[2])

    return Augmentation(imagenet.draw, apply)


NAMES = ("none", "shift", "shift_flip", "imagenet")


def augmentation(name: str, *, size: int | None = None) -> Augmentation:
    """Look an augmentation up.

    Args:
        name: `none`, `shift` (by up to an eighth of the side), `shift_flip` (and mirrored) or
            `imagenet` (random resized crop, mirror, colour jitter and lighting).
        size: of what `imagenet` returns, pixels a side; None: as the images; the others never
            change the size.

    Returns:
        From (n, 3, h, w) uint8 images and a CPU generator to float images in [0, 1].

    Raises:
        ValueError: no such augmentation.
    """
    if name not in NAMES:
        raise ValueError(f"augmentation '{name}': expected one of {', '.join(NAMES)}.")
    return {
        "none": Augmentation(_draw_nothing, lambda images, drawn: as_pixels(images)),
        "shift": Augmentation(_draw_shift, _shift),
        "shift_flip": Augmentation(_draw_shift_flip, _shift_flip),
        "imagenet": _imagenet(size),
    }[name]
