"""Small scene caches made in memory, and detections beside them."""

from pathlib import Path

import numpy as np
from robust_transfer.detection.detections import Detections
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.objects import Objects, box_areas
from robust_transfer.scenes.write import as_columns


def objects_of(boxes, classes, *, crowd=None, difficult=None, masks=None, areas=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    none = [False] * len(boxes)
    return Objects(
        boxes=boxes,
        classes=np.array(classes, np.int64),
        crowd=np.array(none if crowd is None else crowd, bool),
        difficult=np.array(none if difficult is None else difficult, bool),
        areas=box_areas(boxes) if areas is None else np.array(areas, np.float64),
        masks=masks,
    )


def cache_of(objects, *, classes=2, shape=(120, 150), masks=False):
    """A cache of black images of one size."""
    count, size = len(objects), shape[0] * shape[1] * 3
    names = tuple(f"class{label}" for label in range(classes))
    manifest = {"dataset": "scenes", "masks": masks, "classes": list(names)}
    return SceneCache(
        folder=Path("nowhere"),
        images=np.zeros(count * size, np.uint8),
        shapes=np.tile(np.array(shape, np.int32), (count, 1)),
        n_train=0,
        classes=names,
        manifest=manifest | {"n_train": 0, "n_test": count},
        columns=as_columns(objects, masks=masks),
        starts=np.arange(count + 1, dtype=np.int64) * size,
    )


def detections_of(rows, scored, *, masks=None):
    """Detections from rows of (image, class, score, x0, y0, x1, y1), sorted by image."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    return Detections(
        images=table[:, 0].astype(np.int64),
        boxes=table[:, 3:].astype(np.float32),
        scores=table[:, 2].astype(np.float32),
        classes=table[:, 1].astype(np.int64),
        masks=None if masks is None else tuple(masks[place] for place in order),
        scored=np.array(scored, np.int64),
    )


def random_box(rng, shape=(120, 150)):
    y, x = rng.uniform(0, 0.7, 2) * shape
    height, width = rng.uniform(4, 110, 2)
    return [x, y, min(x + width, shape[1]), min(y + height, shape[0])]


def random_scenes(seed, *, images=4, classes=2, flags=True, ties=False):
    """Objects and detections of which about half are near an object."""
    rng = np.random.default_rng(seed)
    objects, rows = [], []
    for image in range(images):
        count = int(rng.integers(0, 5))
        boxes = [random_box(rng) for _ in range(count)]
        labels = rng.integers(0, classes, count)
        chance = rng.random((2, count)) < (0.15 if flags else 0)
        objects.append(objects_of(boxes, labels, crowd=chance[0], difficult=chance[1]))
        for box, label in zip(boxes, labels, strict=True):
            for _ in range(int(rng.integers(0, 3))):
                near = np.array(box) + rng.normal(0, 2, 4)
                near[2:] = np.maximum(near[2:], near[:2] + 1)
                rows.append([image, label, rng.random(), *near])
        for _ in range(int(rng.integers(0, 3))):
            rows.append([image, rng.integers(0, classes), rng.random(), *random_box(rng)])
    if ties:
        for row in rows:
            row[2] = round(row[2], 1)
    return objects, rows
