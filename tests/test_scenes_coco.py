"""Scenes with COCO's annotations: pycocotools reads the same, and bad files are named."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from robust_transfer.errors import DataError
from robust_transfer.scenes.masks import BadMaskError, decode, encode, from_outline
from scene_files import HEIGHT, WIDTH, box, built, coco_split

SIZE = (HEIGHT, WIDTH)
SQUARE = [4.0, 5.0, 14.0, 5.0, 14.0, 15.0, 4.0, 15.0]
PETS = {
    "name": "pets",
    "kind": "coco_folder",
    "path": "pets",
    "train": {"images": "learn", "annotations": "learn.json"},
    "test": {"images": "try", "annotations": "try.json"},
}
NAMES = {18: "dog", 3: "cat", 90: "unseen"}


def disc():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (y - 15) ** 2 + (x - 20) ** 2 < 64


def plain_runs(mask):
    """Run lengths of a mask, column by column, from a run of zeros; by hand."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(SIZE), "counts": runs if flat[0] == 0 else [0, *runs]}


def compressed(mask):
    return {"size": list(SIZE), "counts": encode(mask[None])[0].decode()}


LEARN = [
    box(1, 7, 18, [4.0, 5.0, 10.0, 10.0], segmentation=[SQUARE], area=99.5),
    box(5, 7, 3, [12.0, 7.0, 17.0, 17.0], segmentation=compressed(disc())),
    box(6, 2, 3, [12, 7, 17, 17], segmentation=plain_runs(disc()), iscrowd=1),
]
TRY = [box(1, 1, 3, [4, 5, 10, 10], segmentation=[SQUARE])]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pets"
    coco_split(folder, {7: "b.png", 2: "a.png", 11: "c.png"}, LEARN, "learn", NAMES)
    coco_split(folder, {1: "a.png", 2: "b.png"}, TRY, "try", NAMES)
    return folder


def record_of(root, name="learn"):
    return json.loads((root / f"{name}.json").read_text())


def write_record(root, record, name="learn"):
    (root / f"{name}.json").write_text(json.dumps(record))


def test_images_are_in_the_order_of_their_ids_and_classes_in_that_of_theirs(root, tmp_path):
    cache = built(PETS, tmp_path)
    assert cache.classes == ("cat", "dog")  # 3, 18; no object is 'unseen'
    assert (cache.n_train, len(cache)) == (3, 5)
    for index, name in enumerate(("learn/a", "learn/b", "learn/c", "try/a", "try/b")):
        stored = np.asarray(Image.open(root / f"{name}.png"))
        np.testing.assert_array_equal(cache.image(index), stored)
    assert [len(cache.objects(index)) for index in range(5)] == [1, 2, 0, 1, 0]


def test_objects_are_what_the_annotations_say(root, tmp_path):
    objects = built(PETS, tmp_path).objects(1)
    assert objects.boxes.tolist() == [[4, 5, 14, 15], [12, 7, 29, 24]]
    assert objects.classes.tolist() == [1, 0]
    assert objects.areas.tolist() == [99.5, 17 * 17]
    assert not objects.crowd.any()
    assert not objects.difficult.any()


def test_polygons_and_both_run_lengths_become_masks(root, tmp_path):
    cache = built(PETS, tmp_path)
    square, round_ = decode(cache.objects(1).masks, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[5:15, 4:14] = True
    np.testing.assert_array_equal(square, expected)
    np.testing.assert_array_equal(round_, disc())
    (crowd,) = decode(cache.objects(0).masks, SIZE)
    np.testing.assert_array_equal(crowd, disc())
    assert cache.objects(0).crowd.tolist() == [True]


def test_larger_images_are_reduced_and_masks_with_them(root, tmp_path):
    cache = built(PETS | {"max_side": 20}, tmp_path)
    assert cache.shapes.tolist() == [[15, 20]] * 5
    objects = cache.objects(1)
    assert objects.boxes.tolist() == [[2, 2.5, 7, 7.5], [6, 3.5, 14.5, 12]]
    assert objects.areas.tolist() == [99.5 / 4, 17 * 17 / 4]
    square, round_ = decode(objects.masks, (15, 20))
    assert square[3:7, 2:7].all()
    assert square.sum() in (20, 25, 30)  # its edges lie on half a pixel
    shares = disc().reshape(15, 2, 20, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(round_[shares != 0.5], (shares > 0.5)[shares != 0.5])


def test_masks_are_kept_only_where_every_object_has_one(root, tmp_path):
    record = record_of(root, "try")
    record["annotations"][0]["segmentation"] = []
    write_record(root, record, "try")
    cache = built(PETS, tmp_path)
    assert not cache.has_masks
    assert cache.objects(0).masks is None
    assert (cache.manifest["masks"], cache.manifest["objects_without_mask"]) == (False, 1)


def test_a_crowd_without_a_mask_has_that_of_its_box(root, tmp_path):
    record = record_of(root)
    del record["annotations"][2]["segmentation"]
    write_record(root, record)
    cache = built(PETS, tmp_path)
    (mask,) = decode(cache.objects(0).masks, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[7:24, 12:29] = True
    np.testing.assert_array_equal(mask, expected)


def test_coco_2017_is_read_from_its_own_layout(root, tmp_path):
    for split, name in (("learn", "train2017"), ("try", "val2017")):
        (root / split).rename(root / name)
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"{split}.json").rename(root / f"annotations/instances_{name}.json")
    cache = built({"name": "coco", "kind": "coco", "path": "pets"}, tmp_path)
    assert (cache.n_train, len(cache), cache.has_masks) == (3, 5, True)
    assert "annotations/instances_val2017.json" in (cache.folder / "files.csv").read_text()


def test_images_that_no_annotations_list_are_counted_and_not_used(root, tmp_path):
    for name in ("d.png", ".hidden.png", "notes.txt"):
        (root / "learn" / name).write_bytes(b"")
    cache = built(PETS, tmp_path)
    assert len(cache) == 5
    assert cache.manifest["images_not_listed"] == 1


# What is wrong with image 2 ('learn/a.png') or its annotation: a change, words of the message


def annotation(**changes):
    def change(record):
        record["annotations"][2] |= changes

    return change


def image(**changes):
    def change(record):
        record["images"][1] |= changes

    return change


def without_bbox(record):
    del record["annotations"][2]["bbox"]


RUNS = plain_runs(disc())
BAD = {
    "outside": (annotation(bbox=[35, 5, 20, 5]), "more than half lies outside"),
    "zero size": (annotation(bbox=[5, 5, 0, 5]), "is of no size"),
    "negative size": (annotation(bbox=[5, 5, 3, -5]), "is of no size"),
    "not finite": (annotation(bbox=[5, 5, float("nan"), 5]), "not finite"),
    "three numbers": (annotation(bbox=[5, 5, 3]), "no bbox of four numbers"),
    "no box": (without_bbox, "no bbox of four numbers"),
    "unknown category": (annotation(category_id=4), r"annotation 6\) is of category 4, which"),
    "mask of another size": (annotation(segmentation=RUNS | {"size": [40, 30]}), "mask is of an"),
    "runs that do not add up": (annotation(segmentation=RUNS | {"counts": [5, 6]}), "add up"),
    "a run below zero": (annotation(segmentation=RUNS | {"counts": [-5, 1205]}), "add up"),
    "damaged runs": (annotation(segmentation=RUNS | {"counts": "aaa"}), "run lengths"),
    "no string of runs": (annotation(segmentation=RUNS | {"counts": "\u00e9"}), "a byte that is"),
    "a line for a polygon": (annotation(segmentation=[[1, 2, 3, 4]]), "three corners"),
    "an odd polygon": (annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "three corners"),
    "words for a polygon": (annotation(segmentation=[["a", "b"]]), "three corners"),
    "no segmentation": (annotation(segmentation="mask.png"), "neither polygons nor run"),
    "another size": (image(width=41), "40 x 30 .* of one of 41 x 30"),
    "a size in words": (image(width="wide"), "no numbers"),
    "no image": (image(file_name="z.png"), "no such file"),
    "an image elsewhere": (image(file_name="../try/a.png"), "leaves the folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scene_stops_the_build_or_is_left_out_by_name(root, tmp_path, name):
    change, words = BAD[name]
    record = record_of(root)
    change(record)
    write_record(root, record)
    with pytest.raises(DataError, match=words) as raised:
        built(PETS, tmp_path)
    assert "learn.json" in str(raised.value)
    cache = built(PETS, tmp_path, policy="leave_out")
    assert (cache.n_train, len(cache)) == (2, 4)
    assert len(cache.manifest["left_out"]) == 1
    assert cache.objects(0).boxes.tolist() == [[4, 5, 14, 15], [12, 7, 29, 24]]


def test_annotations_of_no_image_are_refused_or_named(root, tmp_path):
    record = record_of(root)
    record["annotations"].append(box(77, 404, 3, [1, 1, 5, 5]))
    write_record(root, record)
    with pytest.raises(DataError, match=r"image id 404.*1 annotations are of it, and no image"):
        built(PETS, tmp_path)
    cache = built(PETS, tmp_path, policy="leave_out")
    assert cache.manifest["left_out"][0]["path"] == "image id 404"
    assert len(cache) == 5


def twice(part, **changes):
    def change(record):
        record[part].append(record[part][0] | changes)

    return change


STRUCTURE = {
    "the image ids": (twice("images", file_name="d.png"), "images: 1 values of 'id'.* is 7"),
    "the files": (twice("images", id=99), "images: 1 values of 'file_name'.* is 'b.png'"),
    "the annotations": (twice("annotations"), "annotations: 1 values of 'id'"),
    "the category ids": (twice("categories", name="x"), "categories: 1 values of 'id'.* is 18"),
    "the category names": (twice("categories", id=5), "categories: 1 values of 'name'.* 'dog'"),
    "no id": (lambda record: record["images"][0].pop("id"), "has no 'id'"),
    "no list": (lambda record: record.pop("categories"), "holds no list 'categories'"),
    "no records": (lambda record: record["images"].append(3), "something that is no record"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_a_file_that_contradicts_itself_is_always_refused(root, tmp_path, name):
    change, words = STRUCTURE[name]
    record = record_of(root)
    change(record)
    write_record(root, record)
    with pytest.raises(DataError, match=words):
        built(PETS, tmp_path, policy="leave_out")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000])
def test_broken_json_is_named(root, tmp_path, text):
    (root / "try.json").write_text(text)
    with pytest.raises(DataError, match=r"try\.json"):
        built(PETS, tmp_path, policy="leave_out")
    (root / "try.json").unlink()
    with pytest.raises(DataError, match="no such file of annotations"):
        built(PETS, tmp_path)


def test_splits_that_number_classes_differently_are_refused(root, tmp_path):
    record = record_of(root, "try")
    record["categories"] = [{"id": 3, "name": "dog"}, {"id": 18, "name": "cat"}]
    write_record(root, record, "try")
    with pytest.raises(DataError, match="Number the categories alike"):
        built(PETS, tmp_path)


def test_a_class_that_is_only_tested_is_refused(root, tmp_path):
    record = record_of(root, "try")
    record["annotations"][0]["category_id"] = 90
    write_record(root, record, "try")
    with pytest.raises(DataError, match=r"'unseen'\) is of a class without any object"):
        built(PETS, tmp_path)
    assert len(built(PETS, tmp_path, policy="leave_out")) == 4


def test_run_lengths_are_checked_as_pycocotools_writes_them():
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = (int(rng.integers(1, 30)), int(rng.integers(1, 30)))
        mask = rng.random(size) < rng.random()
        counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        whole = {"size": list(size), "counts": counts}
        assert from_outline(whole, size, size) == counts
        taller = (size[0] + 1, size[1])
        with pytest.raises(BadMaskError):
            from_outline(whole | {"size": list(taller)}, taller, taller)
