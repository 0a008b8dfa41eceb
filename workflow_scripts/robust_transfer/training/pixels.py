"""From stored bytes to what a network sees."""

import torch
from torch import Tensor


def as_pixels(images: Tensor) -> Tensor:
    """Turn (n, 3, h, w) uint8 into float32 in [0, 1]."""
    return images.to(torch.float32, copy=True).div_(255)
