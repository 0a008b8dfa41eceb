"""Resizing whole images with Pillow: antialiased, bilinear, aspect ratio kept."""

import numpy as np
from PIL import Image


def short_side_to(image: Image.Image, side: int) -> Image.Image:
    """Resize so that the shorter side has `side` pixels, the longer in proportion.

    The longer side is rounded down, as torchvision's `Resize(side)` does.

    Args:
        image: RGB.
        side: pixels.

    Returns:
        RGB; the image itself when it is that size already.
    """
    width, height = image.size
    if min(width, height) == side:
        return image
    if width <= height:
        new = (side, int(side * height / width))
    else:
        new = (int(side * width / height), side)
    return image.resize(new, Image.Resampling.BILINEAR)


def reduced_size(width: int, height: int, side: int | None) -> tuple[int, int]:
    """Return width and height after reducing the longer of them to `side` pixels.

    Args:
        width: pixels.
        height: pixels.
        side: pixels; None, or at least the longer side: the size stays.

    Returns:
        Both at least 1; the shorter in proportion, rounded to the nearest pixel.
    """
    longer = max(width, height)
    if side is None or longer <= side:
        return width, height
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))


def square(image: Image.Image, side: int) -> Image.Image:
    """Resize so that the shorter side has `side` pixels, then cut out the middle.

    The same pixels as torchvision's `Resize(side)` then `CenterCrop(side)`, but only the middle
    is computed: a very long image costs no more than a square one.

    Args:
        image: RGB.
        side: pixels.

    Returns:
        (side, side) RGB.
    """
    width, height = image.size
    if (width, height) == (side, side):
        return image
    (new_width, new_height), (left, top) = whole_and_corner(width, height, side)
    if (new_width, new_height) == (width, height):
        return image.crop((left, top, left + side, top + side))
    # Pillow's filter takes pixels from outside the box too, so cutting first changes nothing.
    across, down = width / new_width, height / new_height
    box = (left * across, top * down, (left + side) * across, (top + side) * down)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


def square_array(pixels: np.ndarray, side: int) -> np.ndarray:
    """Do what `square` does to an array: (height, width, 3) uint8 to (side, side, 3) uint8."""
    return np.asarray(square(Image.fromarray(pixels), side))


def whole_and_corner(width: int, height: int, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Say how a square is cut out of a resized image.

    Args:
        width: of the image, pixels.
        height: likewise.
        side: of the square, pixels.

    Returns:
        Width and height that the whole image is brought to, and where (left, top) in it the square
        begins.
    """
    short = min(width, height)
    whole_width = side if width == short else int(side * width / height)
    whole_height = side if height == short else int(side * height / width)
    return (whole_width, whole_height), (
        round((whole_width - side) / 2),
        round((whole_height - side) / 2),
    )


def prepared(
    image: Image.Image,
    resolution: str,
    native_short_side: int | None,
    native_long_side: int | None = None,
) -> np.ndarray:
    """Bring one image to the resolution of a cache.

    Args:
        image: RGB.
        resolution: `native`, or pixels a side.
        native_short_side: in a native cache, a longer shorter side is reduced to this many
            pixels; None: the image stays as it is.
        native_long_side: likewise of a longer longer side.

    Returns:
        (height, width, 3) uint8.
    """
    if resolution != "native":
        return np.asarray(square(image, int(resolution)))
    if native_short_side is not None and min(image.size) > native_short_side:
        image = short_side_to(image, native_short_side)
    reduced = reduced_size(*image.size, native_long_side)
    if reduced != image.size:
        image = image.resize(reduced, Image.Resampling.BILINEAR)
    return np.asarray(image)


def in_words(resolution: str, native_short_side: int | None) -> str:
    """Describe what `prepared` does, for a manifest."""
    if resolution != "native":
        return (
            f"one antialiased bilinear resize of the original to a shorter side of {resolution} "
            f"pixels, then the middle {resolution} x {resolution}"
        )
    if native_short_side is None:
        return "none: pixels of the originals"
    return (
        f"shorter side reduced to {native_short_side} pixels where it is longer, "
        "by one antialiased bilinear resize; aspect ratio kept"
    )
