"""The published code's training images: random resized crops of whole images, half mirrored.

Source: Salman et al. 2020, code (RandomResizedCrop(224), RandomHorizontalFlip with torchvision's
defaults); the crop is Szegedy et al. 2015, arXiv:1409.4842, section 6.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust_transfer.images.cache import ImageCache

SHARES = (0.08, 1.0)  # of the image's area
RATIOS = (3 / 4, 4 / 3)  # width / height
ATTEMPTS = 10  # at a box that fits inside the image; then the middle is taken


def draw_uniforms(n: int, generator: torch.Generator) -> Tensor:
    """Draw what `boxes_of` turns into boxes: (4, n, attempts) numbers in [0, 1)."""
    return torch.rand(4, n, ATTEMPTS, generator=generator, dtype=torch.float64)


def boxes_of(shapes: Tensor, drawn: Tensor) -> Tensor:
    """Return the box that is cut out of each image.

    Args:
        shapes: (n, 2) int64: height and width, pixels.
        drawn: as `draw_uniforms` gives them.

    Returns:
        (n, 4) int64: top, left, height, width; inside the image.
    """
    height, width = shapes.double().unsqueeze(1).unbind(2)
    share, ratio, down, right = drawn
    area = height * width * (SHARES[0] + (SHARES[1] - SHARES[0]) * share)
    low, high = (math.log(each) for each in RATIOS)
    root = torch.exp(0.5 * (low + (high - low) * ratio))
    wide, tall = (area.sqrt() * root).round(), (area.sqrt() / root).round()
    fits = (wide >= 1) & (tall >= 1) & (wide <= width) & (tall <= height)
    top = ((height - tall + 1) * down).floor()
    left = ((width - wide + 1) * right).floor()
    boxes = torch.stack([top, left, tall, wide], dim=2)
    first = fits.to(torch.int64).argmax(1)
    drawn = boxes[torch.arange(len(shapes)), first]
    return torch.where(fits.any(1, keepdim=True), drawn, _middle(height, width)).long()


def _middle(height: Tensor, width: Tensor) -> Tensor:
    """Return the largest middle box of an allowed ratio, for (n, 1) heights and widths."""
    wide = torch.minimum(width, (height * RATIOS[1]).round())
    tall = torch.minimum(height, (width / RATIOS[0]).round())
    top, left = ((height - tall) / 2).floor(), ((width - wide) / 2).floor()
    return torch.cat([top, left, tall, wide], dim=1)


@dataclass(frozen=True)
class Crops:
    """An augmentation that is given row numbers and reads the images from a cache.

    Attributes:
        cache: of images of any size.
        size: of the crops, pixels a side.
        device: where they go.
    """

    cache: ImageCache
    size: int
    device: torch.device

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Turn (n,) row numbers into (n, 3, size, size) float images in [0, 1]."""
        return self.share(images, generator, n=len(images), rows=slice(None))

    def share(self, images: Tensor, generator: torch.Generator, *, n: int, rows: slice) -> Tensor:
        """Make the crops of some images of a batch as they would be with all the others.

        Args:
            images: (m,) row numbers in the cache, those of the batch's `rows`.
            generator: on the CPU.
            n: images of the whole batch.
            rows: which of them are given.
        """
        drawn = draw_uniforms(n, generator)[:, rows]
        mirrored = (torch.rand(n, generator=generator)[rows] < 0.5).to(self.device)
        indices = images.cpu().numpy()
        shapes = torch.as_tensor(np.asarray(self.cache.shapes)[indices], dtype=torch.int64)
        pixels = torch.cat([
            resized_crop(self.cache.image(int(index)), box, self.size, self.device)
            for index, box in zip(indices, boxes_of(shapes, drawn).tolist(), strict=True)
        ])  # fmt: skip
        pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
        return pixels.contiguous(memory_format=torch.channels_last)


def resized_crop(image: np.ndarray, box: list[int], size: int, device: torch.device) -> Tensor:
    """Cut a box out of an image and resize it, bilinear and antialiased.

    Args:
        image: (height, width, 3) uint8.
        box: top, left, height, width, pixels.
        size: pixels a side.
        device: where it goes.

    Returns:
        (1, 3, size, size) float32 in [0, 1].
    """
    top, left, tall, wide = box
    piece = np.array(image[top : top + tall, left : left + wide])  # torch wants its own copy
    pixels = torch.from_numpy(piece).to(device).permute(2, 0, 1).unsqueeze(0).float() / 255
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
