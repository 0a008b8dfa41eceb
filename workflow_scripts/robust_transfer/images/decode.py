"""From the bytes of an image file to RGB, in one stated way.

- EXIF orientation is applied; an unreadable EXIF block counts as none.
- Of an animation, the first frame.
- Palette, black-and-white, greyscale, CMYK, YCbCr and Lab: Pillow's conversion to RGB.
- Transparent pixels are laid on white.
- 16-bit greyscale: 0..65535 to 0..255. 32-bit integers likewise, cut to that range. Floating
  point: [0, 1] to 0..255 where all values lie in it, otherwise cut to 0..255.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = (5, 6, 7, 8)


class BadImageError(Exception):
    """These bytes are no image that can be read; the message says why."""


def decode(content: bytes) -> Image.Image:
    """Decode an image file.

    Args:
        content: the bytes of the file.

    Returns:
        RGB, 8 bits a channel.

    Raises:
        BadImageError: the bytes are empty, truncated, corrupt or no image.
    """
    if not content:
        raise BadImageError("the file is empty (0 bytes)")
    with warnings.catch_warnings():
        # Pillow warns of large images, odd palettes and broken EXIF, all handled here.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                return _as_rgb(_upright(image))
        except Image.UnidentifiedImageError:
            raise BadImageError("this is no image in a format that Pillow reads") from None
        except BadImageError:
            raise
        except Exception as error:  # decoders raise almost anything on corrupt bytes
            raise BadImageError(f"{type(error).__name__}: {error}") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Read the size that `decode` gives an image, from the file's first bytes where they say it.

    Args:
        path: an image file.

    Returns:
        Height and width, pixels.

    Raises:
        BadImageError: the file is empty or no image.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(stream) as image:
                turned = image.getexif().get(_ORIENTATION, 1) in _SIDES_SWAPPED
                width, height = image.size
        except Image.UnidentifiedImageError:
            raise BadImageError("this is no image in a format that Pillow reads") from None
        except Exception as error:  # decoders raise almost anything on corrupt bytes
            raise BadImageError(f"{type(error).__name__}: {error}") from error
    return (width, height) if turned else (height, width)


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF block says."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken block must not lose a whole image
        turn = None
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB as the module says."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_grey_levels(np.asarray(image))).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image if type(image) is Image.Image else image.copy()
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _grey_levels(values: np.ndarray) -> np.ndarray:
    """Bring 16-bit, 32-bit and floating-point greyscale to (height, width) uint8."""
    if not np.isfinite(values).all():
        raise BadImageError("it holds values that are not finite")
    if values.dtype.kind == "f":
        scale = 255.0 if values.min() >= 0 and values.max() <= 1 else 1.0
    else:
        scale = 255 / 65535
    return np.rint(np.clip(values.astype(np.float64) * scale, 0, 255)).astype(np.uint8)
