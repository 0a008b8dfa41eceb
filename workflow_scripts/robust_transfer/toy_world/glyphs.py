"""Masks of characters in the DejaVu faces that matplotlib ships."""

import functools
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FACES = (
    "DejaVuSans",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-BoldItalic",
)
SUPERSAMPLING = 2  # glyphs are drawn and turned at twice the size, then averaged down
FONT_SIZE = 0.8  # em height as a share of the image's side: capitals fill 58% of it


@functools.cache
def _font(face: str, pixels: int) -> ImageFont.FreeTypeFont:
    """Open one face; the basic layout engine, so that no system library has a say."""
    import matplotlib  # only for where it keeps its fonts; pyplot is not imported

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")
    return ImageFont.truetype(str(path), pixels, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _upright(character: str, face: str, size: int) -> Image.Image:
    """Draw one character, unturned and supersampled, as a greyscale mask; one draw each."""
    side = size * SUPERSAMPLING
    mask = Image.new("L", (side, side), 0)
    # Anchored at the middle of ascender and descender, so that an accent does not push its
    # letter down and give the class away.
    ImageDraw.Draw(mask).text(
        (side / 2, side / 2),
        character,
        fill=255,
        font=_font(face, round(side * FONT_SIZE)),
        anchor="mm",
    )
    return mask


def glyph_mask(
    character: str, face: str, *, size: int, angle: float, scale: float, shift: tuple[float, float]
) -> np.ndarray:
    """Render one character, turned about the middle of the image, scaled and moved.

    Args:
        character: what to draw.
        face: one of `FACES`.
        size: pixels a side.
        angle: radians, counter-clockwise.
        scale: 1 is the size of `FONT_SIZE`.
        shift: pixels to the right and down.

    Returns:
        (size, size) uint8: 0 is background, 255 is ink.
    """
    side = size * SUPERSAMPLING
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    middle = side / 2
    x = middle + shift[0] * SUPERSAMPLING
    y = middle + shift[1] * SUPERSAMPLING
    # Pillow asks for the map from output to input coordinates: the inverse of what is done.
    inverse = (cos, -sin, middle - cos * x + sin * y, sin, cos, middle - sin * x - cos * y)
    turned = _upright(character, face, size).transform(
        (side, side), Image.Transform.AFFINE, inverse, resample=Image.Resampling.BILINEAR
    )
    return np.asarray(turned.reduce(SUPERSAMPLING))
