"""Average precision as COCO defines it, and of resamples of the images.

pycocotools matches detections to objects; what follows is linear in the images, and done here, so
that a thousand resamples cost about as much as one evaluation there.

Source: Lin et al. 2014, arXiv:1405.0312, and https://cocodataset.org/#detection-eval.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from robust_transfer.detection.detections import Detections
from robust_transfer.errors import DataError
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.masks import run_lengths

#: Areas of objects, square pixels: both ends belong to a range, as in pycocotools.
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # intersection over union from which a box is right
RECALLS = np.linspace(0.0, 1.0, 101)
DETECTIONS = 100  # an image and class: the best so many are scored
#: Name of a number -> (range of areas, rows of `THRESHOLDS` it is the mean over).
NUMBERS = {
    "AP": ("all", slice(None)),
    "AP50": ("all", slice(0, 1)),
    "AP75": ("all", slice(5, 6)),
    "AP_small": ("small", slice(None)),
    "AP_medium": ("medium", slice(None)),
    "AP_large": ("large", slice(None)),
}
_BLOCK = 2_000_000  # numbers that a step of a resample may hold: bounds its memory


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class in one range of areas, the surest first.

    Attributes:
        rows: (d,) int64: row of the image of each detection in `Matches.images`.
        hits: (10, d) bool: found an object that counts, at each threshold.
        misses: (10, d) bool: found none. A detection that is neither does not count: what it
            found is a crowd, difficult or of another size.
        objects: (n,) int64: objects that count in each image.
    """

    rows: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True, eq=False)
class Matches:
    """Which detections are right.

    Attributes:
        images: (n,) int64: positions of the scored images in their cache.
        by_area: for each name of `AREAS`, the matches of each class.
    """

    images: np.ndarray
    by_area: dict[str, tuple[ClassMatches, ...]]


def coco_matches(cache: SceneCache, detections: Detections, kind: str = "box") -> Matches:
    """Match detections to objects as COCO does.

    A difficult object counts neither way: found or not, nothing is added. Sizes are pixels of the
    stored image.

    Args:
        cache: where the objects are.
        detections: of images of this cache; those in `scored` are evaluated.
        kind: `box` or `mask`: what overlaps.

    Returns:
        The matches, at ten thresholds of the intersection over union, 0.5 to 0.95.

    Raises:
        ValueError: another `kind`.
        DataError: there are no masks to compare, or the detections are of another cache.
    """
    if kind not in ("box", "mask"):
        raise ValueError(f"there is no kind '{kind}': box or mask.")
    check_belongs(cache, detections)
    if kind == "mask" and (detections.masks is None or not cache.has_masks):
        which = "dataset" if not cache.has_masks else "detector"
        raise DataError(f"dataset '{cache.dataset}': the {which} gives no masks. Compare boxes.")
    evaluation = _Evaluation(
        _as_coco(cache, detections.scored, _objects(cache, detections.scored)),
        _as_coco(cache, detections.scored, _found(cache, detections, kind)),
        "bbox" if kind == "box" else "segm",
    )
    evaluation.params.maxDets = [DETECTIONS]
    evaluation.params.areaRng = [list(bounds) for bounds in AREAS.values()]
    evaluation.params.areaRngLbl = list(AREAS)
    evaluation.params.iouThrs = THRESHOLDS
    with contextlib.redirect_stdout(io.StringIO()):
        if len(detections.scored):
            evaluation.evaluate()
    n, cells = len(detections.scored), iter(evaluation.evalImgs)
    by_area: dict[str, list[ClassMatches]] = {name: [] for name in AREAS}
    for _ in cache.classes:  # the order of pycocotools: classes, areas, images
        for name in AREAS:
            by_area[name].append(_gather([next(cells) for _ in range(n)]))
    return Matches(detections.scored, {name: tuple(made) for name, made in by_area.items()})


def check_belongs(cache: SceneCache, detections: Detections) -> None:
    """Raise DataError where detections name images or classes that the cache does not have."""
    scored, classes = detections.scored, detections.classes
    if len(scored) and not 0 <= scored.min() <= scored.max() < len(cache):
        raise DataError(
            f"dataset '{cache.dataset}' has {len(cache)} images, but the detections are of images "
            f"{scored.min()} to {scored.max()}: they belong to another cache."
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(cache.classes):
        raise DataError(
            f"dataset '{cache.dataset}' has {len(cache.classes)} classes, but a detection is of "
            f"class {classes.max()}: it belongs to another cache."
        )


def summary(matches: Matches) -> dict[str, float]:
    """Return COCO's six averages of precision, in [0, 1].

    Args:
        matches: of all images.

    Returns:
        The names of `NUMBERS`; NaN where no object is of that size (pycocotools says -1).
    """
    ones = np.ones((1, len(matches.images)), np.int64)
    return {name: float(resampled(matches, ones, name)[0]) for name in NUMBERS}


def resampled(matches: Matches, weights: np.ndarray, number: str = "AP") -> np.ndarray:
    """Return an average precision of each of many resamples of the images.

    An image of weight w counts as w images that lie side by side in the dataset.

    Args:
        matches: of all images.
        weights: (b, n) non-negative integers: how often each image of `matches.images` is drawn.
        number: one of `NUMBERS`.

    Returns:
        (b,) float64, in [0, 1]; NaN for a resample without an object that counts.
    """
    area, rows = NUMBERS[number]
    total, present = np.zeros(len(weights)), np.zeros(len(weights))
    for each in matches.by_area[area]:
        counted = weights @ each.objects
        step = max(1, _BLOCK // max(1, len(each.rows)))
        for start in range(0, len(weights), step):
            part = slice(start, start + step)
            total[part] += _class_precision(each, weights[part], counted[part], rows)
        present += counted > 0
    with np.errstate(invalid="ignore"):
        return total / np.where(present > 0, present, np.nan)


def _class_precision(
    each: ClassMatches, weights: np.ndarray, counted: np.ndarray, rows: slice
) -> np.ndarray:
    """Average the precision of one class over thresholds: (b,); 0 where it has no object.

    Recall rises at hits alone, and the envelope of precision has its peaks there, so only hits
    are looked at: at each, the envelope counts for as many recall levels as the hit passes.
    """
    drawn = weights[:, each.rows].astype(np.float64)
    hits, misses = each.hits[rows], each.misses[rows]
    total = np.zeros(len(weights))
    for hit, miss in zip(hits, misses, strict=True):
        at = np.flatnonzero(hit)
        right = drawn[:, at].cumsum(axis=1)
        wrong = (drawn * miss).cumsum(axis=1)[:, at]
        precision = right / (right + wrong + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = right / np.maximum(counted, 1)[:, None]
        passed = np.searchsorted(RECALLS, recall, side="right")
        passed[recall == 0] = 0  # before the first hit that was drawn there is nothing
        total += (envelope * np.diff(passed, axis=1, prepend=0)).sum(axis=1)
    return np.where(counted > 0, total / (len(hits) * len(RECALLS)), 0.0)


def _gather(cells: list[dict[str, Any] | None]) -> ClassMatches:
    """Put the images of one class and one range of areas together, the surest detection first."""
    objects = np.zeros(len(cells), np.int64)
    rows, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
    found, ignored = ([np.zeros((len(THRESHOLDS), 0), bool)] for _ in range(2))
    for row, cell in enumerate(cells):
        if cell is not None:
            objects[row] = np.count_nonzero(cell["gtIgnore"] == 0)
            scores.append(np.array(cell["dtScores"], np.float64))
            rows.append(np.full(len(cell["dtScores"]), row))
            found.append(cell["dtMatches"] > 0)
            ignored.append(cell["dtIgnore"].astype(bool))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit = np.concatenate(found, axis=1)[:, order]
    counts = ~np.concatenate(ignored, axis=1)[:, order]
    return ClassMatches(np.concatenate(rows)[order], hit & counts, ~hit & counts, objects)


class _Evaluation(COCOeval):
    """COCO's evaluation, where difficult objects are ignored as crowds are, but are no crowds."""

    def _prepare(self) -> None:
        super()._prepare()
        for objects in self._gts.values():
            for each in objects:
                each["ignore"] = int(each["iscrowd"] or each["difficult"])


def _as_coco(cache: SceneCache, images: np.ndarray, annotations: Iterator[dict[str, Any]]) -> COCO:
    """Wrap images and annotations as pycocotools wants them."""
    coco = COCO()
    sizes = [(int(each), *(int(side) for side in cache.shapes[each])) for each in images]
    coco.dataset = {
        "images": [{"id": each, "height": height, "width": width} for each, height, width in sizes],
        "categories": [{"id": each} for each in range(len(cache.classes))],
        # Numbered from 1: pycocotools marks what is not matched by 0.
        "annotations": [entry | {"id": id_} for id_, entry in enumerate(annotations, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _objects(cache: SceneCache, images: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield the objects of images as annotations."""
    for image in images:
        objects = cache.objects(int(image))
        masks = run_lengths(objects.masks or (), cache.shapes[image])
        for row, box in enumerate(objects.boxes):
            yield {
                **_annotation(int(image), int(objects.classes[row]), box),
                "area": float(objects.areas[row]),
                "iscrowd": int(objects.crowd[row]),
                "difficult": bool(objects.difficult[row]),
                **({"segmentation": masks[row]} if masks else {}),
            }


def _found(cache: SceneCache, detections: Detections, kind: str) -> Iterator[dict[str, Any]]:
    """Yield detections as annotations; a mask's area is that of the mask, as in pycocotools."""
    for row, (image, box) in enumerate(zip(detections.images, detections.boxes, strict=True)):
        entry = _annotation(int(image), int(detections.classes[row]), box)
        entry |= {"score": float(detections.scores[row]), "iscrowd": 0}
        if kind == "box":
            yield entry | {"area": entry["bbox"][2] * entry["bbox"][3]}
        else:
            assert detections.masks is not None
            (mask,) = run_lengths(detections.masks[row : row + 1], cache.shapes[image])
            yield entry | {"area": float(coco_mask.area(mask)), "segmentation": mask}


def _annotation(image: int, label: int, box: np.ndarray) -> dict[str, Any]:
    """Spell image, class and box."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return {"image_id": image, "category_id": label, "bbox": [x0, y0, x1 - x0, y1 - y0]}
