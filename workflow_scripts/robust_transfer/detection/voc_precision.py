"""Average precision as Pascal VOC defines it, before 2010 and since."""

import numpy as np

from robust_transfer.detection.average_precision import check_belongs
from robust_transfer.detection.detections import Detections
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.objects import box_areas

RULES = ("07", "10")


def voc_mean_ap(
    cache: SceneCache, detections: Detections, *, rule: str, iou: float = 0.5
) -> tuple[float, np.ndarray]:
    """Return the mean average precision and that of each class.

    A detection is judged by the object of its class and image that it overlaps most: it is right
    when the overlap reaches `iou` and no surer detection found that object. Objects that are
    difficult, or a crowd, count neither way.

    Args:
        cache: where the objects are.
        detections: of images of this cache; those in `scored` are evaluated.
        rule: `07`: mean of the best precision at 11 recalls, 0 to 1; `10`: area under the
            envelope of precision over recall.
        iou: intersection over union from which a detection is right.

    Returns:
        The mean over classes that have an object, and (classes,) float64, NaN for the others.

    Raises:
        ValueError: unknown rule.
        DataError: the detections are of another cache.

    Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; development kits
    VOC2007 and VOC2010.
    """
    if rule not in RULES:
        raise ValueError(f"there is no rule '{rule}': 07 or 10.")
    check_belongs(cache, detections)
    per_class = np.full(len(cache.classes), np.nan)
    for label in range(len(cache.classes)):
        hits, misses, objects = _judge(cache, detections, label, iou)
        if objects:
            right, wrong = hits.cumsum(), misses.cumsum()
            measure = _eleven_points if rule == "07" else _area
            per_class[label] = measure(right, wrong, objects)
    known = per_class[~np.isnan(per_class)]
    return (float(known.mean()) if len(known) else float("nan")), per_class


def _judge(
    cache: SceneCache, detections: Detections, label: int, iou: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Judge the detections of a class, the surest first.

    Returns:
        (d,) bool hits, (d,) bool misses, and the number of objects that count.
    """
    chosen = np.flatnonzero(detections.classes == label)
    chosen = chosen[np.argsort(-detections.scores[chosen], kind="stable")]
    hits, misses = np.zeros((2, len(chosen)), bool)
    total = 0
    by_image: dict[int, list[int]] = {}
    for place, row in enumerate(chosen):
        by_image.setdefault(int(detections.images[row]), []).append(place)
    for image in detections.scored:
        objects = cache.objects(int(image))
        mine = objects.classes == label
        boxes, out = objects.boxes[mine], (objects.difficult | objects.crowd)[mine]
        total += int((~out).sum())
        places = by_image.get(int(image), [])
        overlaps = _overlaps(detections.boxes[chosen[places]], boxes)
        taken = np.zeros(len(boxes), bool)
        for place, overlap in zip(places, overlaps, strict=True):
            best = int(overlap.argmax()) if len(overlap) else -1
            if best < 0 or overlap[best] < iou:
                misses[place] = True
            elif not out[best]:
                hits[place], misses[place] = not taken[best], taken[best]
                taken[best] = True
    return hits, misses, total


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return intersections over unions: (m, 4) and (k, 4) to (m, k) float64."""
    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(axis=2)
    union = box_areas(boxes)[:, None] + box_areas(others)[None] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def _eleven_points(right: np.ndarray, wrong: np.ndarray, objects: int) -> float:
    """Average the best precision at a recall of at least 0, 0.1 .. 1 (rule of 2007)."""
    judged = np.maximum(right + wrong, 1)
    best = [
        # In whole numbers: recall of 3 in 10 does reach 0.3.
        (right / judged).max(initial=0.0, where=10 * right >= tenth * objects)
        for tenth in range(11)
    ]
    return float(np.mean(best))


def _area(right: np.ndarray, wrong: np.ndarray, objects: int) -> float:
    """Return the area under the falling envelope of precision (rule of 2010)."""
    precision = right / np.maximum(right + wrong, 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * np.diff(right, prepend=0)).sum() / objects)
