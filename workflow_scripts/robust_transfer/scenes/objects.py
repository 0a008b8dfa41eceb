"""The objects of one image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Objects:
    """What one image shows; every array has a row an object.

    Attributes:
        boxes: (k, 4) float32: x0, y0, x1, y1, pixels of the stored image; x1 and y1 are exclusive
            edges, so a box of one pixel is 1 wide.
        classes: (k,) int64, positions in the classes of the cache.
        crowd: (k,) bool: a group that is not told apart (COCO `iscrowd`).
        difficult: (k,) bool: not to be scored (Pascal VOC `difficult`).
        areas: (k,) float64, pixels: of the mask where there is one (COCO `area`), else of the box.
        masks: COCO's compressed run lengths of the whole image, one an object (see `masks`); None
            where the dataset has no masks.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray
    masks: tuple[bytes, ...] | None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.boxes)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes: (k, 4) of x0, y0, x1, y1 to (k,) float64."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2].astype(np.float64)
    return sides[:, 0] * sides[:, 1]
