"""COCO's average precision a second time: in NumPy and loops, straight from its definition.

Objects and detections are arrays as they are stored; objects of all areas count. Run lengths of
masks are expanded by the reader of the caches.
"""

from collections.abc import Iterator

import numpy as np

from robust_transfer.scenes.masks import decode, unpack

Arrays = dict[str, np.ndarray]

# As the published evaluation spells them: their rounding decides where an overlap equals one.
OVERLAPS = np.linspace(0.5, 0.95, 10)
LEVELS = np.linspace(0, 1, 101)  # of recall
BEST = 100  # detections of a class that count in an image
LARGEST = 1e10  # square pixels: COCO's range of all areas ends here
HIT, IGNORED, MISS = 1, 0, -1


def average_precisions(
    objects: Arrays, detections: Arrays, shapes: np.ndarray, classes: int, kind: str
) -> dict[str, float]:
    """Compute the average precision of boxes or masks in the images that were scored.

    Args:
        objects: of the cache: `starts`, `boxes`, `classes`, `crowd`, `difficult`, `areas`, and for
            masks `mask_starts` and `mask_bytes`.
        detections: `scored`, `images`, `boxes`, `scores`, `classes`, and for masks the same two.
        shapes: (n, 2) height and width of each image of the cache, pixels.
        classes: how many there are.
        kind: `box` or `mask`.

    Returns:
        `ap` over ten overlaps, 0.5 to 0.95, and `ap50`; NaN where no object counts.

    Source: https://cocodataset.org/#detection-eval. A difficult object is ignored as a crowd is,
    but only one detection finds it.
    """
    scores: list[list[np.ndarray]] = [[np.zeros(0)] for _ in range(classes)]
    outcomes: list[list[np.ndarray]] = [[np.zeros((0, len(OVERLAPS)))] for _ in range(classes)]
    counted = np.zeros(classes, int)
    for image in detections["scored"].tolist():
        truth = slice(*objects["starts"][image : image + 2])
        found = slice(*np.searchsorted(detections["images"], [image, image + 1]))
        ignored = objects["crowd"][truth] | objects["difficult"][truth]
        ignored |= _outside(objects["areas"][truth])
        labels = objects["classes"][truth]
        np.add.at(counted, labels[~ignored], 1)
        for label in np.unique(detections["classes"][found]).tolist():
            own = np.flatnonzero(labels == label)
            best = np.flatnonzero(detections["classes"][found] == label)
            sure = detections["scores"][found][best].astype(np.float64)
            order = np.argsort(-sure, kind="stable")[:BEST]
            crowd = objects["crowd"][truth][own]
            shared, areas, areas_of_objects = _SHARED[kind](
                (objects, truth.start + own), (detections, found.start + best[order]), shapes[image]
            )
            overlaps = _overlaps(shared, areas, areas_of_objects, crowd)
            scores[label].append(sure[order])
            outcomes[label].append(_outcomes(overlaps, crowd, ignored[own], _outside(areas)))
    table = np.array([
        _precisions(np.concatenate(scores[label]), np.concatenate(outcomes[label]), counted[label])
        for label in np.flatnonzero(counted)
    ])  # fmt: skip
    if not len(table):
        return {"ap": np.nan, "ap50": np.nan}
    return {"ap": float(table.mean()), "ap50": float(table[:, 0].mean())}


def _outside(areas: np.ndarray) -> np.ndarray:
    """Tell which areas lie outside the range of all areas."""
    return (areas < 0) | (areas > LARGEST)


Chosen = tuple[Arrays, np.ndarray]  # stored arrays, and rows of them
#: (d, k) square pixels that detections and objects share, and the areas of both.
Shared = tuple[np.ndarray, np.ndarray, np.ndarray]


def _of_boxes(objects: Chosen, detections: Chosen, shape: np.ndarray) -> Shared:
    """Compare boxes."""
    theirs, mine = (
        stored["boxes"][rows].astype(np.float64) for stored, rows in (objects, detections)
    )
    low = np.maximum(mine[:, None, :2], theirs[None, :, :2])
    high = np.minimum(mine[:, None, 2:], theirs[None, :, 2:])
    sides = high - low
    shared = np.where((sides > 0).all(axis=2), sides.prod(axis=2), 0.0)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (mine, theirs)]
    return shared, areas[0], areas[1]


def _of_masks(objects: Chosen, detections: Chosen, shape: np.ndarray) -> Shared:
    """Compare masks, one detection at a time."""
    theirs, mine = (list(_masks(*chosen, shape)) for chosen in (objects, detections))
    shared = np.array([[(one & other).sum() for other in theirs] for one in mine], float)
    areas = [np.array([mask.sum() for mask in masks], float) for masks in (mine, theirs)]
    return shared.reshape(len(mine), len(theirs)), areas[0], areas[1]


_SHARED = {"box": _of_boxes, "mask": _of_masks}


def _masks(stored: Arrays, rows: np.ndarray, shape: np.ndarray) -> Iterator[np.ndarray]:
    """Yield masks of some rows: (height, width) bool."""
    for row in rows.tolist():
        packed = unpack(stored["mask_starts"][row : row + 2], stored["mask_bytes"])
        yield decode(packed, (int(shape[0]), int(shape[1])))[0]


def _overlaps(
    shared: np.ndarray, areas: np.ndarray, areas_of_objects: np.ndarray, crowd: np.ndarray
) -> np.ndarray:
    """Return intersection over union (d, k); of a crowd, over the detection alone."""
    union = areas[:, None] + areas_of_objects[None] - shared
    whole = np.where(crowd[None], areas[:, None], union)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def _outcomes(
    overlaps: np.ndarray, crowd: np.ndarray, ignored: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    """Let the detections of a class and image, the surest first, choose their objects.

    Args:
        overlaps: (d, k) with each object.
        crowd: (k,) objects that many detections may find.
        ignored: (k,) objects that are chosen only where no other is left, and count neither way.
        outside: (d,) detections that count neither way when they find nothing.

    Returns:
        (d, 10) `HIT`, `IGNORED` or `MISS` at each overlap.
    """
    told = np.where(outside, IGNORED, MISS)[:, None].repeat(len(OVERLAPS), axis=1)
    near = np.flatnonzero(overlaps.max(axis=1, initial=0) >= OVERLAPS[0])
    for place, least in enumerate(OVERLAPS):
        free = np.ones(len(crowd), bool)
        for row in near:
            right = (overlaps[row] >= least) & (free | crowd)
            for among, outcome in ((right & ~ignored, HIT), (right & ignored, IGNORED)):
                if among.any():
                    # Of equal overlaps the last object is chosen, as in the published evaluation.
                    chosen = np.flatnonzero(among & (overlaps[row] == overlaps[row][among].max()))
                    free[chosen[-1]] = False
                    told[row, place] = outcome
                    break
    return told


def _precisions(scores: np.ndarray, outcomes: np.ndarray, objects: int) -> list[float]:
    """Return the average precision of one class at each overlap.

    At each level of recall the precision is the best that is reached at that recall or a higher.
    """
    ranked = outcomes[np.argsort(-scores, kind="stable")]
    found = []
    for column in ranked.T:
        hits, misses = (column == HIT).cumsum(), (column == MISS).cumsum()
        precision = hits / np.maximum(hits + misses, 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        reached = [np.flatnonzero(hits / objects >= level)[:1] for level in LEVELS]
        found.append(sum(float(best[place].sum()) for place in reached) / len(LEVELS))
    return found
