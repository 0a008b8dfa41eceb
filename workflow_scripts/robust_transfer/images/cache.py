"""Reading an image cache: memory-mapped, random access, no file opened per image."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import sha256
from robust_transfer.images.resize import square_array

SCHEMA_VERSION = 1
ARRAYS = ("images", "shapes", "labels")
_FIX = "Delete the folder and run again: the cache is built anew."


@dataclass(frozen=True, eq=False)
class ImageCache:
    """A dataset at one resolution; training images first.

    Attributes:
        folder: where it lies.
        images: memory-mapped uint8: (n, height, width, 3) when all are one size, otherwise the
            bytes of all images one after the other.
        shapes: (n, 2) int32: height and width of each image, pixels.
        labels: (n,) int64, positions in `classes`.
        starts: (n + 1,) int64: where each image begins in `images` laid flat, bytes.
        n_train: the first so many images are the training split, the others the test split.
        classes: names, sorted.
        manifest: the record written beside the arrays.
    """

    folder: Path
    images: np.ndarray
    shapes: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    n_train: int
    classes: tuple[str, ...]
    manifest: dict[str, Any]

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.manifest["dataset"])

    @property
    def resolution(self) -> str:
        """`native`, or pixels a side."""
        return str(self.manifest["resolution"])

    @property
    def fixed_size(self) -> bool:
        """Whether all images are one size."""
        return self.images.ndim == 4

    def __len__(self) -> int:
        """Return the number of images, both splits together."""
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the folder's name, not as gigabytes of pixels."""
        return load_cache, (self.folder,)

    def image(self, index: int) -> np.ndarray:
        """Return one image: (height, width, 3) uint8, a view of the file."""
        if self.fixed_size:
            return self.images[index]
        index = range(len(self))[index]
        flat = self.images[self.starts[index] : self.starts[index + 1]]
        return flat.reshape(*self.shapes[index], 3)

    def split(self, name: str) -> np.ndarray:
        """Return the sorted positions of the images of `train` or `test`: int64."""
        if name not in ("train", "test"):
            raise ValueError(f"there is no split '{name}': train or test.")
        return np.arange(self.n_train) if name == "train" else np.arange(self.n_train, len(self))


def load_cache(folder: str | Path) -> ImageCache:
    """Open a cache; pixels stay on disk until they are asked for.

    Args:
        folder: where `build_cache` wrote it.

    Raises:
        DataError: a file is missing, of the wrong size or version, or the files disagree.
    """
    folder = Path(folder)
    manifest = read_manifest(folder / "manifest.json")
    images, shapes, labels = (open_array(folder / f"{name}.npy") for name in ARRAYS)
    count = manifest["n_train"] + manifest["n_test"]
    sizes = shapes.astype(np.int64).prod(axis=1) * 3 if shapes.ndim == 2 else np.zeros(0, np.int64)
    agree = (
        labels.shape == (count,)
        and shapes.shape == (count, 2)
        and images.dtype == np.uint8
        and images.size == sizes.sum()
        and (images.ndim == 1 or images.shape == (count, *shapes[0], 3))
    )
    if not agree:
        raise DataError(
            f"{folder}: the files of this image cache disagree: the manifest says {count} images; "
            f"images.npy is {images.dtype} {images.shape}, shapes.npy {shapes.shape}, "
            f"labels.npy {labels.shape}.\n  {_FIX}"
        )
    return ImageCache(
        folder=folder,
        images=images,
        shapes=shapes,
        labels=labels,
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        n_train=manifest["n_train"],
        classes=tuple(manifest["classes"]),
        manifest=manifest,
    )


def verify_cache(folder: str | Path) -> None:
    """Read every byte of a cache and compare with the checksums of its manifest.

    Args:
        folder: where `build_cache` wrote it.

    Raises:
        DataError: as `load_cache`, or a file is not the one that was written; the first is named.
    """
    cache = load_cache(folder)
    for name, expected in cache.manifest["sha256"].items():
        path = cache.folder / f"{name}.npy"
        found = sha256(path)
        if found != expected:
            raise DataError(
                f"{path}: its SHA-256 is {found[:16]}..., the manifest says "
                f"{expected[:16]}...: the file changed after it was written.\n  {_FIX}"
            )


def fixed_size_array(
    cache: ImageCache,
    indices: np.ndarray,
    size: int,
    threads: int = 1,
    *,
    resize: Callable[[np.ndarray, int], np.ndarray] = square_array,
) -> np.ndarray:
    """Return whole images at one size, ready for a network.

    Images of another size get one antialiased bilinear resize of the shorter side to `size`, up
    or down, and lose what then lies outside the middle square.

    Args:
        cache: where from.
        indices: (n,) positions.
        size: pixels a side.
        threads: that resize at once; what is only cut is cut by this one.
        resize: makes a square of an image; with torch at hand, `squares` is quicker.

    Returns:
        (n, size, size, 3) uint8, in memory.
    """
    indices = np.asarray(indices)
    if cache.fixed_size and cache.images.shape[1:3] == (size, size):
        return np.array(cache.images[indices])
    pixels = np.empty((len(indices), size, size, 3), np.uint8)

    def fill(rows: np.ndarray) -> None:
        for row in rows.tolist():
            pixels[row] = resize(cache.image(int(indices[row])), size)

    cut = cache.shapes[indices].min(axis=1) == size
    fill(np.flatnonzero(cut))
    resized = np.flatnonzero(~cut)
    if len(resized):
        with ThreadPoolExecutor(threads) as pool:  # resizing needs no lock of Python's
            list(pool.map(fill, [resized[first::threads] for first in range(threads)]))
    return pixels


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest, which is written last: without it there is no cache."""
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file, so {path.parent} is no complete image cache.\n"
            "  Build it: ask the workflow for this file."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: this is no manifest of an image cache: {error}.\n  {_FIX}"
        ) from None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version is {version}, this code reads {SCHEMA_VERSION}.\n  {_FIX}"
        )
    return manifest


def open_array(path: Path) -> np.ndarray:
    """Map one .npy file into memory, read-only."""
    if not path.is_file():
        raise DataError(f"{path}: this file of an image cache is missing.\n  {_FIX}")
    try:
        # As a plain array: a slice of numpy's own memmap class costs several times as much.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}.\n  {_FIX}") from None
