"""Reading a scene cache: images memory-mapped, objects beside them."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import sha256
from robust_transfer.images.cache import open_array, read_manifest
from robust_transfer.scenes.masks import unpack
from robust_transfer.scenes.objects import Objects

#: Arrays of objects.npz: name -> type; `boxes` has 4 columns, the others one dimension.
COLUMNS: dict[str, type[np.generic]] = {
    "starts": np.int64,
    "boxes": np.float32,
    "classes": np.int64,
    "crowd": np.bool_,
    "difficult": np.bool_,
    "areas": np.float64,
}
MASK_COLUMNS: dict[str, type[np.generic]] = {"mask_starts": np.int64, "mask_bytes": np.uint8}
_FIX = "Delete the folder and run again: the cache is built anew."


@dataclass(frozen=True, eq=False)
class SceneCache:
    """Images with objects; training images first.

    Attributes:
        folder: where it lies.
        images: memory-mapped uint8: the bytes of all images, one after the other.
        shapes: (n, 2) int32: height and width of each image, pixels.
        n_train: the first so many images are the training split, the others the test split.
        classes: names; the order is the dataset's own.
        manifest: the record written beside the arrays.
        columns: the arrays of objects.npz: `starts` (n + 1,) says where the objects of each image
            begin, the others have a row an object; `mask_starts` (k + 1,) where its mask begins in
            `mask_bytes`.
        starts: (n + 1,) int64: where each image begins in `images`, bytes.
    """

    folder: Path
    images: np.ndarray
    shapes: np.ndarray
    n_train: int
    classes: tuple[str, ...]
    manifest: dict[str, Any]
    columns: dict[str, np.ndarray]
    starts: np.ndarray

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return str(self.manifest["dataset"])

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask."""
        return "mask_bytes" in self.columns

    def __len__(self) -> int:
        """Return the number of images, both splits together."""
        return len(self.shapes)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the folder's name, not as gigabytes of pixels."""
        return load_scene_cache, (self.folder,)

    def image(self, index: int) -> np.ndarray:
        """Return one image: (height, width, 3) uint8, a view of the file."""
        index = range(len(self))[index]
        flat = self.images[self.starts[index] : self.starts[index + 1]]
        return flat.reshape(*self.shapes[index], 3)

    def objects(self, index: int) -> Objects:
        """Return the objects of one image; there may be none."""
        index = range(len(self))[index]
        first, end = (int(each) for each in self.columns["starts"][index : index + 2])
        rows = slice(first, end)
        taken = {name: self.columns[name][rows] for name in COLUMNS if name != "starts"}
        return Objects(**taken, masks=self._masks(first, end))

    def _masks(self, first: int, end: int) -> tuple[bytes, ...] | None:
        """Return the masks of some objects that follow one another."""
        if not self.has_masks:
            return None
        edges = self.columns["mask_starts"][first : end + 1]
        return unpack(edges, self.columns["mask_bytes"])

    def split(self, name: str) -> np.ndarray:
        """Return the sorted positions of the images of `train` or `test`: int64."""
        if name not in ("train", "test"):
            raise ValueError(f"there is no split '{name}': train or test.")
        return np.arange(self.n_train) if name == "train" else np.arange(self.n_train, len(self))


def load_scene_cache(folder: str | Path) -> SceneCache:
    """Open a cache; pixels stay on disk until they are asked for, objects are read.

    Args:
        folder: where `build_scene_cache` wrote it.

    Raises:
        DataError: a file is missing, damaged or of the wrong version, or the files disagree.
    """
    folder = Path(folder)
    manifest = read_manifest(folder / "manifest.json")
    images, shapes = (open_array(folder / f"{name}.npy") for name in ("images", "shapes"))
    columns = _read_columns(folder / "objects.npz")
    _check(folder, manifest, images, shapes, columns)
    sizes = shapes.astype(np.int64).prod(axis=1) * 3
    return SceneCache(
        folder=folder,
        images=images.reshape(-1),  # a view: the file has rows where all images are one size
        shapes=shapes,
        n_train=manifest["n_train"],
        classes=tuple(manifest["classes"]),
        manifest=manifest,
        columns=columns,
        starts=np.concatenate([[0], np.cumsum(sizes)]),
    )


def verify_scene_cache(folder: str | Path) -> None:
    """Read every byte of a cache and compare with the checksums of its manifest.

    Args:
        folder: where `build_scene_cache` wrote it.

    Raises:
        DataError: as `load_scene_cache`, or a file is not the one that was written; the first is
            named.
    """
    cache = load_scene_cache(folder)
    for name, expected in cache.manifest["sha256"].items():
        path = cache.folder / name
        if not path.is_file():
            raise DataError(f"{path}: this file of a scene cache is missing.\n  {_FIX}")
        found = sha256(path)
        if found != expected:
            raise DataError(
                f"{path}: its SHA-256 is {found[:16]}..., the manifest says "
                f"{expected[:16]}...: the file changed after it was written.\n  {_FIX}"
            )


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read objects.npz."""
    if not path.is_file():
        raise DataError(f"{path}: this file of a scene cache is missing.\n  {_FIX}")
    try:
        with zipfile.ZipFile(path):  # np.load leaves its file open when the archive is damaged
            pass
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as objects: {error}.\n  {_FIX}") from None
    wanted = COLUMNS | (MASK_COLUMNS if "mask_bytes" in columns else {})
    for name, kind in wanted.items():
        if name not in columns or columns[name].dtype != kind:
            found = columns[name].dtype if name in columns else "nothing"
            raise DataError(f"{path}, {name}: {found}, expected {np.dtype(kind)}.\n  {_FIX}")
    return columns


def _check(
    folder: Path,
    manifest: dict[str, Any],
    images: np.ndarray,
    shapes: np.ndarray,
    columns: dict[str, np.ndarray],
) -> None:
    """Raise DataError where the files of a cache contradict each other."""
    count = manifest["n_train"] + manifest["n_test"]
    pixels = shapes.astype(np.int64).prod(axis=1).sum() * 3 if shapes.ndim == 2 else -1
    objects = len(columns["boxes"])
    single = [columns[name] for name in COLUMNS if name not in ("starts", "boxes")]
    classes = columns["classes"]
    agree = (
        shapes.shape == (count, 2)
        and images.dtype == np.uint8
        and images.size == pixels
        and _divides(columns["starts"], count, objects)
        and columns["boxes"].shape == (objects, 4)
        and all(array.shape == (objects,) for array in single)
        and (not objects or 0 <= classes.min() <= classes.max() < len(manifest["classes"]))
        and bool(manifest["masks"]) == ("mask_bytes" in columns)
    )
    if agree and manifest["masks"]:
        agree = _divides(columns["mask_starts"], objects, len(columns["mask_bytes"]))
    if not agree:
        raise DataError(
            f"{folder}: the files of this scene cache disagree: the manifest says {count} images "
            f"and {len(manifest['classes'])} classes; images.npy is {images.dtype} "
            f"{images.shape}, shapes.npy {shapes.shape}, objects.npz "
            f"{ {name: array.shape for name, array in columns.items()} }.\n  {_FIX}"
        )


def _divides(starts: np.ndarray, parts: int, total: int) -> bool:
    """Say whether `starts` cuts `total` rows into `parts` runs."""
    return (
        starts.shape == (parts + 1,)
        and starts[0] == 0
        and starts[-1] == total
        and bool((np.diff(starts) >= 0).all())
    )
