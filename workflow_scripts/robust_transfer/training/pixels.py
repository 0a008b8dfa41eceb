"""From stored bytes to what a network sees."""

from torch import Tensor


def as_pixels(images: Tensor) -> Tensor:
    """Turn (n, 3, h, w) uint8 into float32 in [0, 1]."""
    return images.float().div_(255)
