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


def draw_boxes(shapes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the box that is cut out of each image.

    Args:
        shapes: (n, 2) int64: height and width, pixels.
        generator: on the CPU.

    Returns:
        (n, 4) int64: top, left, height, width; inside the image.
    """
    height, width = shapes.double().unsqueeze(1).unbind(2)
    share, ratio, down, right = torch.rand(
        4, len(shapes), ATTEMPTS, generator=generator, dtype=torch.float64
    )
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

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Cut crops.

        Args:
            indices: (n,) row numbers of the cache.
            generator: on the CPU.

        Returns:
            (n, 3, size, size) float32 in [0, 1], on the device.
        """
        places = indices.cpu().numpy()
        shapes = torch.as_tensor(np.asarray(self.cache.shapes)[places], dtype=torch.int64)
        boxes = draw_boxes(shapes, generator).tolist()
        mirrored = torch.rand(len(places), generator=generator) < 0.5
        images = torch.cat([
            resized_crop(self.cache.image(int(place)), box, self.size, self.device)
            for place, box in zip(places, boxes, strict=True)
        ])  # fmt: skip
        images = torch.where(mirrored.to(self.device).view(-1, 1, 1, 1), images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)

    def share(self, images: Tensor, generator: torch.Generator, *, n: int, rows: slice) -> Tensor:
        """Cut the crops of a whole batch, given as row numbers: one process trains a transfer."""
        if len(images) != n:
            raise ValueError(f"{len(images)} of {n} images: crops are of whole batches")
        return self(images, generator)


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
