"""What a detector says of each image: the file that every statistic of detection is made from."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import whole_file
from robust_transfer.scenes.masks import pack, unpack

#: Arrays of the file: name -> (type, shape of a row).
ARRAYS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "images": (np.int64, ()),
    "boxes": (np.float32, (4,)),
    "scores": (np.float32, ()),
    "classes": (np.int64, ()),
    "scored": (np.int64, ()),
}
_MASKS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "mask_starts": (np.int64, ()),
    "mask_bytes": (np.uint8, ()),
}
_FIX = "Delete the file to have it made again."


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects found; every array but `scored` has a row a detection.

    Attributes:
        images: (m,) int64: positions of the images in their cache, sorted.
        boxes: (m, 4) float32: x0, y0, x1, y1, pixels of the stored image; x1, y1 exclusive.
        scores: (m,) float32: confidence, finite.
        classes: (m,) int64, positions in the classes of the cache.
        masks: COCO's compressed run lengths of the whole image, one a detection; or None.
        scored: (n,) int64: positions of all images that went through the detector, sorted: also
            those in which it found nothing.
    """

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: tuple[bytes, ...] | None
    scored: np.ndarray

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)


def save_detections(path: str | Path, detections: Detections) -> None:
    """Write detections as .npz, whole or not at all; equal detections give equal bytes.

    Args:
        path: where to, ending in .npz.
        detections: cast to the types of `Detections`.

    Raises:
        DataError: shapes do not fit, images are not sorted or were not scored, or a score or a
            box is not finite.
    """
    arrays = {
        name: np.ascontiguousarray(getattr(detections, name), dtype=kind)
        for name, (kind, _) in ARRAYS.items()
    }
    if detections.masks is not None:
        arrays["mask_starts"], arrays["mask_bytes"] = pack(detections.masks)
    _check(path, arrays)
    with whole_file(path) as beside:
        np.savez(beside, allow_pickle=False, **arrays)


def load_detections(path: str | Path) -> Detections:
    """Read what `save_detections` wrote.

    Raises:
        DataError: the file is missing, damaged, or does not hold detections.
    """
    arrays = _read(path)
    _check(path, arrays)
    masks = None
    if "mask_bytes" in arrays:
        masks = unpack(arrays["mask_starts"], arrays["mask_bytes"])
    return Detections(**{name: arrays[name] for name in ARRAYS}, masks=masks)


def _read(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file. Detections are made by a trained detector.")
    try:
        with zipfile.ZipFile(path):  # np.load leaves its file open when the archive is damaged
            pass
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: not readable as detections ({error}). Expected an .npz of "
            f"{', '.join(ARRAYS)}, without pickles.\n  {_FIX}"
        ) from error


def _check(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Raise DataError where arrays contradict `Detections`."""
    for name, (kind, row) in (ARRAYS | (_MASKS if "mask_bytes" in arrays else {})).items():
        if name not in arrays:
            raise DataError(f"{path}: holds {', '.join(arrays)}, but no {name}.\n  {_FIX}")
        array = arrays[name]
        if array.dtype != kind or array.shape[1:] != row or array.ndim == 0:
            raise DataError(
                f"{path}, {name}: {array.dtype} {array.shape}, expected {np.dtype(kind)} of shape "
                f"(count{''.join(f', {each}' for each in row)}).\n  {_FIX}"
            )
    images, scored, scores = arrays["images"], arrays["scored"], arrays["scores"]
    counts = {name: len(arrays[name]) for name in ARRAYS if name != "scored"}
    if "mask_bytes" in arrays:
        starts = arrays["mask_starts"]
        counts["masks"] = len(starts) - 1
        if not len(starts) or starts[0] or starts[-1] != len(arrays["mask_bytes"]) or (
            np.diff(starts) < 0
        ).any():  # fmt: skip
            raise DataError(f"{path}, mask_starts: does not divide mask_bytes.\n  {_FIX}")
    if len(set(counts.values())) > 1:
        raise DataError(f"{path}: one row a detection is expected, but there are {counts}.")
    if (np.diff(scored) <= 0).any():
        raise DataError(f"{path}, scored: images are not in order, or one stands twice.")
    if (np.diff(images) < 0).any():
        raise DataError(f"{path}, images: detections are not sorted by image.")
    missing = np.setdiff1d(images, scored)
    if len(missing):
        raise DataError(f"{path}, images: {missing[0]} has detections, but is not in scored.")
    if len(scores) and arrays["classes"].min() < 0:
        raise DataError(f"{path}, classes: {arrays['classes'].min()} is no position of a class.")
    if not (np.isfinite(scores).all() and np.isfinite(arrays["boxes"]).all()):
        raise DataError(
            f"{path}: a score or a box is not finite: the training diverged. Lower its learning "
            "rate."
        )
