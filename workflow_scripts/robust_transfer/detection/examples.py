"""A few test images with their true objects and those that a detector found, for a figure."""

from pathlib import Path

import numpy as np
from PIL import Image

from robust_transfer.detection.detections import Detections
from robust_transfer.files import whole_file
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.masks import decode

#: Images shown, detections of each, the score from which one is shown, and the longer side in
#: pixels to which images are reduced.
IMAGES, MOST_OBJECTS, SURE, LONGEST = 4, 20, 0.5, 320


def write_examples(path: str | Path, cache: SceneCache, detections: Detections) -> None:
    """Write the first test images that show something, with true and found objects.

    Args:
        path: an .npz file. `classes` (names), `count`, and for each image i: `image_i` (height,
            width, 3) uint8; `true_boxes_i` and `found_boxes_i` (k, 4) float32, pixels;
            `true_classes_i`, `found_classes_i` (k,); `found_scores_i`; and where there are masks
            `true_masks_i` and `found_masks_i` (k, height, width) bool.
        cache: the scenes.
        detections: of the same cache.
    """
    shown = [int(p) for p in detections.scored if len(cache.objects(int(p)))][:IMAGES]
    arrays: dict[str, np.ndarray] = {
        "classes": np.array(cache.classes, dtype=str), "count": np.array(len(shown)),
    }  # fmt: skip
    for place, position in enumerate(shown):
        arrays |= {f"{name}_{place}": array
                   for name, array in _example(cache, detections, position).items()}  # fmt: skip
    with whole_file(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _example(cache: SceneCache, detections: Detections, position: int) -> dict[str, np.ndarray]:
    """Return the arrays of one image, reduced."""
    image, objects = cache.image(position), cache.objects(position)
    shape = (int(image.shape[0]), int(image.shape[1]))
    scale = min(1.0, LONGEST / max(shape))
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))  # width, height
    rows = np.flatnonzero((detections.images == position) & (detections.scores >= SURE))
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")][:MOST_OBJECTS]
    found = {
        "image": np.asarray(Image.fromarray(np.asarray(image)).resize(size)),
        "true_boxes": objects.boxes * scale,
        "true_classes": objects.classes,
        "found_boxes": detections.boxes[rows] * scale,
        "found_classes": detections.classes[rows],
        "found_scores": detections.scores[rows],
    }
    if objects.masks is not None and detections.masks is not None:
        chosen = tuple(detections.masks[row] for row in rows)
        found["true_masks"] = _reduced(decode(objects.masks, shape), size)
        found["found_masks"] = _reduced(decode(chosen, shape), size)
    return found


def _reduced(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring (k, height, width) masks to the size of the reduced image."""
    small = [np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
             for mask in masks]  # fmt: skip
    return np.array(small, bool).reshape(len(small), size[1], size[0])
