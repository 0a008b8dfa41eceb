"""The pixels of a cache on their way to disk: an .npy file that grows image by image."""

import os
import shutil
from pathlib import Path

import numpy as np

from robust_transfer.errors import DataError

_HEADER_BYTES = 128


class PixelStream:
    """An .npy file of images whose number and sizes are known only at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: list[tuple[int, int]] = []
        self._stream = path.open("r+b" if path.is_file() else "wb")

    def __enter__(self) -> "PixelStream":
        """Leave room for the header."""
        self._stream.write(bytes(_HEADER_BYTES))
        return self

    def append(self, pixels: np.ndarray) -> None:
        """Write one image: (height, width, 3) uint8."""
        height, width, channels = pixels.shape
        if channels != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"an image is {pixels.dtype} {pixels.shape}, expected uint8 (h, w, 3)."
            )
        self.shapes.append((height, width))
        self._stream.write(np.ascontiguousarray(pixels).data)

    def keep(self, shapes: list[tuple[int, int]]) -> None:
        """Go on behind the images that an earlier build has written; what follows them goes.

        Args:
            shapes: of these images.

        Raises:
            DataError: the file is too short to hold them.
        """
        self.shapes = [*shapes]
        end = _HEADER_BYTES + _bytes_of(shapes)
        self._stream.flush()
        if shapes and self.path.stat().st_size < end:
            raise DataError(f"{self.path}: an unfinished build is damaged: delete its folder.")
        self._stream.truncate(end)
        self._stream.seek(end)

    def append_file(self, path: Path, shapes: list[tuple[int, int]]) -> None:
        """Write the images of a file of plain bytes, safely on disk when it returns.

        Args:
            path: where they are.
            shapes: height and width of each.

        Raises:
            DataError: the file has another size.
        """
        if path.stat().st_size != _bytes_of(shapes):
            raise DataError(f"{path}: a part of an unfinished build is damaged: delete its folder.")
        with path.open("rb") as part:
            shutil.copyfileobj(part, self._stream, 1 << 20)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.shapes += shapes

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the header: one array when all images are one size, otherwise plain bytes."""
        with self._stream:
            if kind is not None:
                return
            flat = (_bytes_of(self.shapes),)
            one_size = len(set(self.shapes)) == 1
            shape = (len(self.shapes), *self.shapes[0], 3) if one_size else flat
            self._stream.seek(0)
            self._stream.write(_npy_header(shape))
            self._stream.flush()
            os.fsync(self._stream.fileno())


def _bytes_of(shapes: list[tuple[int, int]]) -> int:
    """Count the bytes of the pixels of images."""
    return sum(height * width * 3 for height, width in shapes)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Spell the header of a uint8 array, version 1.0 of the format, at a fixed length.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    magic = b"\x93NUMPY\x01\x00"
    room = _HEADER_BYTES - len(magic) - 2
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    return magic + room.to_bytes(2, "little") + (text.ljust(room - 1) + "\n").encode("ascii")
