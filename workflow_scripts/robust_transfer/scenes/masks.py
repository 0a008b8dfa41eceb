"""Masks as COCO's compressed run lengths, and what annotations give them as.

A mask is the `counts` of pycocotools, bytes; its size is that of the image, which says it once.
Source: Lin et al. 2014, Microsoft COCO, and the format of https://cocodataset.org/#format-data.
"""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

_HALF = 128  # of a pixel's 255


class BadMaskError(Exception):
    """An outline that is no mask of its image; the message says why."""


def encode(masks: np.ndarray) -> tuple[bytes, ...]:
    """Compress masks: (k, height, width) bool or 0 and 1, to one string of bytes each."""
    columns = np.asfortranarray(np.moveaxis(masks, 0, -1).astype(np.uint8))
    return tuple(each["counts"] for each in coco_mask.encode(columns)) if len(masks) else ()


def decode(masks: tuple[bytes, ...], shape: tuple[int, int]) -> np.ndarray:
    """Expand masks to (k, height, width) bool.

    Args:
        masks: as `encode` makes them.
        shape: height and width of the image.
    """
    if not masks:
        return np.zeros((0, *shape), bool)
    with warnings.catch_warnings():  # pycocotools 2.0 has the __array__ of numpy 1
        warnings.simplefilter("ignore", DeprecationWarning)
        columns = coco_mask.decode(run_lengths(masks, shape))
    return np.moveaxis(columns, -1, 0).astype(bool)


def from_outline(outline: Any, size: tuple[int, int], stored: tuple[int, int]) -> bytes:
    """Make a mask from a COCO `segmentation`: polygons, or plain or compressed run lengths.

    Args:
        outline: as the annotation gives it.
        size: height and width of the original image, which the outline is of.
        stored: those of the image as it is kept: polygons are scaled before they are filled,
            other masks are reduced and cut at one half.

    Raises:
        BadMaskError: it is none of the three, or of an image of another size.
    """
    if isinstance(outline, list):
        return _filled(outline, size, stored)
    if not isinstance(outline, dict) or not {"size", "counts"} <= set(outline):
        raise BadMaskError("its segmentation is neither polygons nor run lengths")
    if list(outline["size"]) != list(size):
        raise BadMaskError(
            f"its mask is of an image of {outline['size']} pixels (height, width), the image has "
            f"{list(size)}"
        )
    counts = outline["counts"]
    if isinstance(counts, list):
        runs = [run for run in counts if isinstance(run, int) and run >= 0]
        if len(runs) < len(counts) or sum(runs) != size[0] * size[1]:
            raise BadMaskError("its run lengths do not add up to the pixels of the image")
        mask = coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)["counts"]
    else:
        mask = counts.encode() if isinstance(counts, str) else bytes(counts)
        _check_runs(mask, size)
    if stored == size:
        return mask
    whole = Image.fromarray(decode((mask,), size)[0].astype(np.uint8) * 255)
    reduced = whole.resize((stored[1], stored[0]), Image.Resampling.BOX)
    return encode(np.asarray(reduced)[None] >= _HALF)[0]


def _filled(outline: list[Any], size: tuple[int, int], stored: tuple[int, int]) -> bytes:
    """Fill polygons, each a list of x, y, x, y .."""
    scale = np.array([stored[1] / size[1], stored[0] / size[0]])
    polygons = []
    for polygon in outline:
        try:
            corners = np.array(polygon, np.float64)
        except (TypeError, ValueError):
            corners = np.zeros(0)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
            raise BadMaskError("a polygon of its segmentation is no list of three corners or more")
        if not np.isfinite(corners).all():
            raise BadMaskError("a polygon of its segmentation has a corner that is not finite")
        polygons.append((corners.reshape(-1, 2) * scale).ravel().tolist())
    return coco_mask.merge(coco_mask.frPyObjects(polygons, *stored))["counts"]


def _check_runs(mask: bytes, size: tuple[int, int]) -> None:
    """Raise BadMaskError where compressed run lengths are damaged or of another size."""
    total, value, shift, runs = 0, 0, 0, [0, 0]
    for byte in mask:  # six bits a byte: five of a number, one says that it goes on
        digit = byte - 48
        if not 0 <= digit < 64:
            raise BadMaskError("its compressed run lengths hold a byte that is none")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        value -= (1 << shift) if digit & 16 else 0
        # From the fourth on, a run is written as the difference to the run two before it.
        runs.append(value + (runs[-2] if len(runs) > 4 else 0))
        if runs[-1] < 0:
            raise BadMaskError("its compressed run lengths hold a negative run")
        total, value, shift = total + runs[-1], 0, 0
    if shift or total != size[0] * size[1]:
        raise BadMaskError("its run lengths do not add up to the pixels of the image")


def run_lengths(masks: tuple[bytes, ...], shape: tuple[int, int]) -> list[dict[str, Any]]:
    """Return masks as pycocotools takes them: a size and counts each."""
    size = [int(shape[0]), int(shape[1])]
    return [{"size": size, "counts": counts} for counts in masks]


def pack(masks: tuple[bytes, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lay masks one after the other: (k + 1,) int64 starts and ends, and the bytes as uint8."""
    lengths = np.array([len(mask) for mask in masks], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return starts, np.frombuffer(b"".join(masks), np.uint8)


def unpack(starts: np.ndarray, content: np.ndarray) -> tuple[bytes, ...]:
    """Undo `pack`, also for a run of its starts: (k + 1,) to k masks."""
    return tuple(content[start:end].tobytes() for start, end in pairwise(starts))
