"""The second implementation of average precision equals the first, and is no copy of it."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.audit import second_precision
from robust_transfer.audit.second_precision import average_precisions
from robust_transfer.detection.average_precision import coco_matches, summary
from robust_transfer.scenes.masks import encode, pack
from scene_subjects import cache_of, detections_of, objects_of, random_scenes

SHAPE = (120, 150)
BOX = [10, 10, 50, 40]


def columns_of(detections):
    """The arrays of the file."""
    names = ("images", "boxes", "scores", "classes", "scored")
    columns = {name: getattr(detections, name) for name in names}
    if detections.masks is not None:
        columns["mask_starts"], columns["mask_bytes"] = pack(detections.masks)
    return columns


def agree(objects, rows, *, scored=None, classes=2, kind="box", masks=None, shape=SHAPE):
    """Compare both implementations; return what they say."""
    cache = cache_of(objects, classes=classes, masks=kind == "mask", shape=shape)
    scored = range(len(objects)) if scored is None else scored
    found = detections_of(rows, scored, masks=masks)
    first = summary(coco_matches(cache, found, kind=kind))
    second = average_precisions(cache.columns, columns_of(found), cache.shapes, classes, kind)
    assert list(second) == ["ap", "ap50"]
    np.testing.assert_allclose(
        list(second.values()), [first["AP"], first["AP50"]], rtol=0, atol=1e-9
    )
    return second


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), ties=st.booleans(), flags=st.booleans())
def test_both_agree_on_random_boxes_with_crowds_difficult_objects_and_ties(seed, ties, flags):
    objects, rows = random_scenes(seed, images=6, classes=3, ties=ties, flags=flags)
    agree(objects, rows, classes=3)


CORNERS = st.tuples(*[st.integers(0, 4)] * 4)
FLAGS = st.tuples(CORNERS, st.integers(0, 1), st.booleans(), st.booleans())
SAID = st.tuples(st.integers(0, 2), st.integers(0, 1), st.sampled_from([0.2, 0.5, 1.0]), CORNERS)


@settings(max_examples=150, deadline=None)
@given(
    images=st.lists(st.lists(FLAGS, max_size=5), min_size=3, max_size=3),
    said=st.lists(SAID, max_size=14),
)
def test_both_agree_on_a_coarse_grid_where_everything_ties_and_boxes_may_be_flat(images, said):
    def box(corners):
        (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
        return [10 * x0, 10 * y0, 10 * x1, 10 * y1]

    objects = [
        objects_of([box(each[0]) for each in image], [each[1] for each in image],
                   crowd=[each[2] for each in image], difficult=[each[3] for each in image])
        for image in images
    ]  # fmt: skip
    agree(objects, [(image, label, score, *box(at)) for image, label, score, at in said])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_both_agree_on_random_masks(seed):
    rng = np.random.default_rng(seed)
    shape, objects, rows, masks = (12, 9), [], [], []
    for image in range(3):
        count = int(rng.integers(0, 4))
        own = rng.random((count, *shape)) < 0.5
        labels, flags = rng.integers(0, 2, count), rng.random((2, count)) < 0.2
        objects.append(
            objects_of([BOX] * count, labels, crowd=flags[0], difficult=flags[1],
                       masks=encode(own), areas=own.sum(axis=(1, 2)))
        )  # fmt: skip
        for label, mask in zip(labels, own, strict=True):
            for noise in (0.02, 0.2, 1):
                said = mask ^ (rng.random(shape) < noise)
                rows.append([image, label, round(rng.random(), 1), *BOX])
                masks += encode(said[None])
    agree(objects, rows, kind="mask", masks=masks, shape=shape)


@pytest.mark.parametrize(
    ("objects", "rows", "ap"),
    [
        ([[], []], [], np.nan),
        ([[], []], [[0, 0, 0.9, *BOX]], np.nan),
        ([[BOX], []], [], 0.0),
        ([[BOX], []], [[1, 0, 0.9, *BOX]], 0.0),
        ([[BOX], []], [[0, 1, 0.9, *BOX]], 0.0),
        ([[BOX], [BOX]], [[0, 0, 0.9, *BOX], [0, 0, 0.9, *BOX]], 51 / 101),
        ([[BOX], []], [[1, 0, 0.9, *BOX], [0, 0, 0.9, *BOX]], 1.0),  # a tie: the first image leads
        ([[BOX], []], [[0, 0, 0.5, *BOX], [1, 0, 0.9, *BOX]], 0.5),
        ([[[10, 10, 10, 40]], []], [[0, 0, 0.9, 10, 10, 10, 40]], 0.0),  # no area
    ],
)
def test_both_agree_with_the_hand_on_degenerate_detections(objects, rows, ap):
    found = agree([objects_of(boxes, [0] * len(boxes)) for boxes in objects], rows)
    assert found["ap"] == pytest.approx(ap, nan_ok=True)


def test_both_count_a_hundred_detections_of_a_class_in_an_image():
    objects = [objects_of([BOX], [0])]
    wrong = [[0, 0, 0.9, 100, 100, 120, 110]] * 99
    assert agree(objects, [*wrong, [0, 0, 0.5, *BOX]])["ap"] == pytest.approx(0.01)
    assert agree(objects, [*wrong, wrong[0], [0, 0, 0.5, *BOX]])["ap"] == 0


def test_both_leave_out_images_that_were_not_scored():
    objects = [objects_of([BOX], [0]), objects_of([BOX], [0])]
    assert agree(objects, [[1, 0, 0.9, *BOX]], scored=[1])["ap"] == pytest.approx(1)


def test_a_crowd_swallows_many_detections_and_a_difficult_object_one():
    row = [0, 0, 0.9, *BOX]
    other = [60, 60, 100, 100]
    both = {"boxes": [BOX, other], "classes": [0, 0]}
    rows = [row, row, [0, 0, 0.5, *other]]
    crowd = agree([objects_of(**both, crowd=[True, False])], rows)
    difficult = agree([objects_of(**both, difficult=[True, False])], rows)
    assert crowd["ap"] == pytest.approx(1)
    assert difficult["ap"] == pytest.approx(0.5)


def test_the_second_implementation_shares_nothing_with_the_first():
    tree = ast.parse(Path(second_precision.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert not [name for name in names if name.startswith(("robust_transfer.detection", "pycoco"))]
