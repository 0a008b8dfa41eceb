"""Pascal VOC's average precision equals the paper's words, written out in whole numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.detection.voc_precision import voc_mean_ap
from scene_subjects import cache_of, detections_of, objects_of, random_scenes

BOX, OTHER = [10, 10, 50, 40], [60, 60, 110, 110]


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def by_hand(objects, rows, label, rule, iou):
    """One class, detection by detection, with exact fractions."""
    found = sorted((row for row in rows if row[1] == label), key=lambda row: -np.float32(row[2]))
    left_out = [[bool(d or c) for d, c in zip(o.difficult, o.crowd, strict=True)] for o in objects]
    total = sum(int(o.classes[i]) == label and not left_out[image][i]
                for image, o in enumerate(objects) for i in range(len(o)))  # fmt: skip
    if not total:
        return None
    points, right, wrong, seen = [], 0, 0, set()
    for image, _, _, *box in found:
        own = objects[int(image)]
        box = [float(np.float32(edge)) for edge in box]
        mine = [i for i in range(len(own)) if own.classes[i] == label]
        best = max(mine, key=lambda i: overlap(box, own.boxes[i].tolist()), default=None)
        if best is None or overlap(box, own.boxes[best].tolist()) < iou:
            wrong += 1
        elif left_out[int(image)][best]:
            continue
        elif (image, best) in seen:
            wrong += 1
        else:
            seen.add((image, best))
            right += 1
        points.append((Fraction(right, total), Fraction(right, right + wrong)))
    if rule == "07":
        levels = [Fraction(tenth, 10) for tenth in range(11)]
        return sum(max((p for r, p in points if r >= at), default=0) for at in levels) / 11
    steps = [Fraction(k, total) for k in range(1, total + 1)]
    return sum(max((p for r, p in points if r >= at), default=0) for at in steps) / total


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rule=st.sampled_from(["07", "10"]),
    iou=st.sampled_from([0.3, 0.5, 0.75]),
)
def test_random_detections_are_scored_as_the_paper_says(seed, rule, iou):
    objects, rows = random_scenes(seed, images=6)
    mean, ours = voc_mean_ap(cache_of(objects), detections_of(rows, range(6)), rule=rule, iou=iou)
    theirs = [by_hand(objects, rows, label, rule, iou) for label in (0, 1)]
    expected = [np.nan if value is None else float(value) for value in theirs]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    if not np.isnan(expected).all():
        assert mean == pytest.approx(np.nanmean(expected))


def score(objects, rows, rule="10"):
    return voc_mean_ap(
        cache_of(objects), detections_of(rows, range(len(objects))), rule=rule
    )[0]  # fmt: skip


def test_a_difficult_object_counts_neither_way():
    objects = [objects_of([BOX, OTHER], [0, 0], difficult=[False, True])]
    found = [[0, 0, 0.5, *BOX]]
    assert score(objects, found) == 1
    assert score(objects, [*found, [0, 0, 0.9, *OTHER], [0, 0, 0.8, *OTHER]]) == 1


def test_a_second_detection_of_an_object_is_wrong():
    objects = [objects_of([BOX, OTHER], [0, 0])]
    found = [[0, 0, 0.9, *BOX], [0, 0, 0.8, *BOX], [0, 0, 0.7, *OTHER]]
    assert score(objects, found) == pytest.approx((1 + 2 / 3) / 2)


def test_the_two_rules_differ_as_by_hand():
    """One of two objects found: 6 of 11 recall levels, and half of the area."""
    objects = [objects_of([BOX, OTHER], [0, 0])]
    assert score(objects, [[0, 0, 0.9, *BOX]], "07") == pytest.approx(6 / 11)
    assert score(objects, [[0, 0, 0.9, *BOX]], "10") == pytest.approx(1 / 2)


def test_a_recall_of_three_tenths_reaches_three_tenths():
    """In floating point 3 * 0.1 is above 0.3."""
    boxes = [[10 * i, 0, 10 * i + 9, 9] for i in range(10)]
    found = [[0, 0, 0.9 - i / 10, *boxes[i]] for i in range(3)]
    assert score([objects_of(boxes, [0] * 10)], found, "07") == pytest.approx(4 / 11)


def test_an_overlap_of_exactly_one_half_is_enough():
    assert score([objects_of([[0, 0, 20, 10]], [0])], [[0, 0, 0.9, 0, 0, 10, 10]]) == 1


def test_no_detections_score_zero_and_no_objects_score_nothing():
    assert score([objects_of([BOX], [0])], []) == 0
    assert np.isnan(score([objects_of([], [])], [[0, 0, 0.9, *BOX]]))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="07 or 10"):
        score([objects_of([BOX], [0])], [], "2007")
