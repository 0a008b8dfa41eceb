"""COCO's average precision equals that of pycocotools, of all images and of resamples."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from robust_transfer.detection.average_precision import (
    NUMBERS,
    coco_matches,
    resampled,
    summary,
)
from robust_transfer.errors import DataError
from robust_transfer.scenes.masks import encode
from scene_subjects import cache_of, detections_of, objects_of, random_scenes

SHAPE = (120, 150)
BOX = [10, 10, 50, 40]


def reference(objects, rows, *, images=None, kind="bbox", masks=None, classes=2):
    """What pycocotools says; `images` may name an image several times: each is a copy."""
    images = range(len(objects)) if images is None else images
    truth, found = [], []
    for copy, image in enumerate(images, start=1):
        own = objects[image]
        for i in range(len(own)):
            x0, y0, x1, y1 = map(float, own.boxes[i])
            truth.append({"id": len(truth) + 1, "image_id": copy, "iscrowd": int(own.crowd[i]),
                          "category_id": int(own.classes[i]) + 1, "area": float(own.areas[i]),
                          "bbox": [x0, y0, x1 - x0, y1 - y0]})  # fmt: skip
            if own.masks:
                truth[-1]["segmentation"] = {"size": list(SHAPE), "counts": own.masks[i]}
        for place, row in enumerate(rows):
            if row[0] == image:
                x0, y0, x1, y1 = (float(np.float32(edge)) for edge in row[3:])
                entry = {"image_id": copy, "category_id": int(row[1]) + 1,
                         "score": float(np.float32(row[2]))}  # fmt: skip
                if kind == "bbox":
                    entry["bbox"] = [x0, y0, x1 - x0, y1 - y0]
                else:
                    entry["segmentation"] = {"size": list(SHAPE), "counts": masks[place]}
                found.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i + 1, "height": SHAPE[0], "width": SHAPE[1]}
                       for i in range(len(images))],
            "categories": [{"id": i + 1} for i in range(classes)],
            "annotations": truth,
        }  # fmt: skip
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found) if found else COCO(), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    said = [np.nan if value == -1 else value for value in evaluation.stats[:6]]
    return dict(zip(NUMBERS, said, strict=True))


def agree(ours, theirs):
    assert list(ours) == list(theirs)
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=0, atol=1e-9)


def without_difficult(objects):
    return [objects_of(o.boxes, o.classes, crowd=o.crowd, areas=o.areas) for o in objects]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans())
def test_the_summary_equals_pycocotools_on_random_detections(seed, ties):
    objects, rows = random_scenes(seed, ties=ties)
    objects = without_difficult(objects)
    ours = summary(coco_matches(cache_of(objects), detections_of(rows, range(4))))
    agree(ours, reference(objects, rows))


def test_masks_are_compared_as_pycocotools_compares_them():
    rng = np.random.default_rng(3)
    objects, rows, masks = [], [], []
    for image in range(5):
        centres = rng.uniform(20, 100, (3, 2))
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        discs = np.stack([(y - a) ** 2 + (x - b) ** 2 < 15**2 for a, b in centres])
        flat = [[b - 15, a - 15, b + 15, a + 15] for a, b in centres]
        areas = discs.sum(axis=(1, 2))
        objects.append(objects_of(flat, [0, 1, 0], masks=encode(discs), areas=areas,
                                  crowd=[False, False, image == 2]))  # fmt: skip
        for shift in range(4):
            moved = np.roll(discs, shift * 3, axis=2)
            for label, mask in zip([0, 1, 0], encode(moved), strict=True):
                rows.append([image, label, rng.random(), *BOX])
                masks.append(mask)
    cache = cache_of(objects, masks=True)
    detections = detections_of(rows, range(5), masks=masks)
    ours = summary(coco_matches(cache, detections, "mask"))
    agree(ours, reference(objects, rows, kind="segm", masks=masks))
    assert 0 < ours["AP"] < ours["AP50"]


DEGENERATE = {
    "no detections": ([objects_of([BOX], [0])], []),
    "no objects": ([objects_of([], [])], [[0, 0, 0.9, *BOX]]),
    "an image without objects": (
        [objects_of([BOX], [0]), objects_of([], [])],
        [[0, 0, 0.5, *BOX], [1, 0, 0.9, *BOX]],
    ),
    "the same detection twice": ([objects_of([BOX], [0])], [[0, 0, 0.5, *BOX]] * 2),
    "a crowd alone": ([objects_of([BOX], [0], crowd=[True])], [[0, 0, 0.5, *BOX]] * 3),
    "a crowd beside an object": (
        [objects_of([BOX, [60, 60, 110, 110]], [0, 0], crowd=[False, True])],
        [[0, 0, 0.9, 61, 61, 70, 70], [0, 0, 0.8, 80, 80, 90, 90], [0, 0, 0.7, *BOX]],
    ),
    "all scores equal": (
        [objects_of([BOX, [60, 60, 110, 110]], [0, 0]), objects_of([BOX], [0])],
        [[0, 0, 0.5, 0, 0, 5, 5], [0, 0, 0.5, *BOX], [1, 0, 0.5, *BOX], [1, 1, 0.5, *BOX]],
    ),
    "more than a hundred detections": (
        [objects_of([BOX], [0])],
        [[0, 0, 0.9, 60, 60, 70, 70]] * 100 + [[0, 0, 0.1, *BOX]],
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_detections_are_scored_as_pycocotools_scores_them(name):
    objects, rows = DEGENERATE[name]
    matches = coco_matches(cache_of(objects), detections_of(rows, range(len(objects))))
    agree(summary(matches), reference(objects, rows))


def test_perfect_detections_have_precision_one_and_absent_sizes_none():
    objects = [objects_of([BOX], [0]), objects_of([[60, 20, 100, 60]], [1])]
    rows = [[0, 0, 0.5, *BOX], [1, 1, 0.4, 60, 20, 100, 60]]
    said = summary(coco_matches(cache_of(objects), detections_of(rows, [0, 1])))
    assert [said[name] for name in ("AP", "AP50", "AP75", "AP_medium")] == pytest.approx([1] * 4)
    assert np.isnan([said["AP_small"], said["AP_large"]]).all()


def test_only_scored_images_count():
    objects = [objects_of([BOX], [0]), objects_of([BOX], [0])]
    rows = [[1, 0, 0.5, *BOX]]
    assert summary(coco_matches(cache_of(objects), detections_of(rows, [1])))[
        "AP"
    ] == pytest.approx(1)
    both = summary(coco_matches(cache_of(objects), detections_of(rows, [0, 1])))["AP"]
    assert both == pytest.approx(51 / 101)  # recall levels 0 to 0.5


def test_no_scored_image_at_all_has_no_precision():
    said = summary(coco_matches(cache_of([objects_of([BOX], [0])]), detections_of([], [])))
    assert np.isnan(list(said.values())).all()


def test_a_difficult_object_counts_neither_way():
    easy, hard = BOX, [60, 60, 110, 110]
    objects = [objects_of([easy, hard], [0, 0], difficult=[False, True])]
    missed = [[0, 0, 0.5, *easy]]
    for rows in (missed, [*missed, [0, 0, 0.9, *hard]]):
        said = summary(coco_matches(cache_of(objects), detections_of(rows, [0])))
        assert said["AP"] == pytest.approx(1)
    part = [*missed, [0, 0, 0.9, 60, 60, 75, 75]]  # in a crowd it would be ignored
    assert summary(coco_matches(cache_of(objects), detections_of(part, [0])))[
        "AP"
    ] == pytest.approx(0.5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_resample_equals_pycocotools_on_copied_images(seed):
    objects, rows = random_scenes(seed)
    objects = without_difficult(objects)
    matches = coco_matches(cache_of(objects), detections_of(rows, range(4)))
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(4, [0.25] * 4, size=3)
    for row in weights:
        theirs = reference(objects, rows, images=np.repeat(np.arange(4), row))
        for number in ("AP", "AP50", "AP_medium"):
            (ours,) = resampled(matches, row[None], number)
            np.testing.assert_allclose(ours, theirs[number], rtol=0, atol=1e-9)


def test_many_resamples_are_the_same_as_one_at_a_time(monkeypatch):
    objects, rows = random_scenes(5, images=6)
    matches = coco_matches(cache_of(objects), detections_of(rows, range(6)))
    weights = np.random.default_rng(0).multinomial(6, [1 / 6] * 6, size=20)
    together = resampled(matches, weights)
    alone = np.concatenate([resampled(matches, row[None]) for row in weights])
    np.testing.assert_array_equal(together, alone)
    monkeypatch.setattr("robust_transfer.detection.average_precision._BLOCK", 7)
    np.testing.assert_array_equal(resampled(matches, weights), alone)
    assert len(np.unique(alone)) > 3


def test_a_resample_without_objects_has_no_precision():
    objects = [objects_of([BOX], [0]), objects_of([], [])]
    matches = coco_matches(cache_of(objects), detections_of([[0, 0, 0.5, *BOX]], [0, 1]))
    said = resampled(matches, np.array([[0, 2], [1, 1], [0, 0]]))
    np.testing.assert_allclose(said, [np.nan, 1.0, np.nan], rtol=1e-12)


def test_masks_are_needed_to_compare_masks():
    objects = [objects_of([BOX], [0])]
    with pytest.raises(DataError, match="dataset gives no masks"):
        coco_matches(cache_of(objects), detections_of([], [0]), "mask")
    masked = cache_of([objects_of([BOX], [0], masks=encode(np.ones((1, *SHAPE))))], masks=True)
    with pytest.raises(DataError, match="detector gives no masks"):
        coco_matches(masked, detections_of([], [0]), "mask")
    with pytest.raises(ValueError, match="box or mask"):
        coco_matches(masked, detections_of([], [0]), "segm")


def test_detections_of_another_cache_are_refused():
    cache = cache_of([objects_of([BOX], [0])])
    with pytest.raises(DataError, match="another cache"):
        coco_matches(cache, detections_of([], [0, 1]))
    with pytest.raises(DataError, match="class 2"):
        coco_matches(cache, detections_of([[0, 2, 0.5, *BOX]], [0]))
