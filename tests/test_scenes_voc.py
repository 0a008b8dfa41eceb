"""Scenes in the layout of Pascal VOC: the cache holds what the files say; bad files are named."""

import shutil

import numpy as np
import pytest
from PIL import Image
from robust_transfer.errors import DataError
from robust_transfer.images import parts
from scene_files import HEIGHT, WIDTH, built, voc_folder, write_image, xml

PETS = {"name": "pets", "kind": "voc_folder", "path": "pets"}
TRAIN = {
    "one": [("dog", 1, 1, 10, 20), ("cat", 5, 6, 40, 30, 1)],
    "two": [("cat", 11, 3, 12, 4)],
    "none": [],
}
TEST = {"four": [("dog", 2, 2, 9, 9)], "five": [("cat", 2, 2, 9, 9)]}


@pytest.fixture
def root(tmp_path):
    voc_folder(tmp_path / "pets", {"trainval": TRAIN, "test": TEST})
    return tmp_path / "pets"


def test_boxes_count_from_one_and_include_their_last_pixel(root, tmp_path):
    cache = built(PETS, tmp_path)
    assert cache.classes == ("cat", "dog")
    objects = cache.objects(0)
    assert objects.boxes.tolist() == [[0, 0, 10, 20], [4, 5, 40, 30]]
    assert objects.classes.tolist() == [1, 0]
    assert objects.difficult.tolist() == [False, True]
    assert objects.areas.tolist() == [200, 36 * 25]
    assert objects.masks is None
    assert not cache.has_masks
    assert not objects.crowd.any()


def test_images_keep_their_order_and_their_pixels(root, tmp_path):
    cache = built(PETS, tmp_path)
    assert (cache.n_train, len(cache)) == (3, 5)
    for index, name in enumerate([*TRAIN, *TEST]):
        stored = np.asarray(Image.open(root / "JPEGImages" / f"{name}.png"))
        np.testing.assert_array_equal(cache.image(index), stored)


def test_an_image_without_objects_is_kept(root, tmp_path):
    cache = built(PETS, tmp_path)
    assert len(cache.objects(2)) == 0
    assert cache.objects(2).boxes.shape == (0, 4)


def test_the_manifest_says_what_is_in_the_cache(root, tmp_path):
    manifest = built(PETS, tmp_path).manifest
    assert manifest["objects"] == {"train": [2, 1], "test": [1, 1]}
    assert manifest["difficult"] == {"train": 1, "test": 0}
    assert (manifest["masks"], manifest["max_side"], manifest["left_out"]) == (False, None, [])
    assert manifest["clipped_train"] == manifest["clipped_test"] == 0
    rows = (tmp_path / "cache-pets/files.csv").read_text().splitlines()
    assert rows[1].startswith("0,train,JPEGImages/one.png,")
    assert ",Annotations/one.xml," in rows[1]


def test_larger_images_are_reduced_and_boxes_with_them(root, tmp_path):
    cache = built(PETS | {"max_side": 20}, tmp_path)
    assert cache.shapes.tolist() == [[15, 20]] * 5
    assert cache.objects(0).boxes.tolist() == [[0, 0, 5, 10], [2, 2.5, 20, 15]]
    assert cache.objects(0).areas.tolist() == [50, 18 * 12.5]
    original = Image.open(root / "JPEGImages/one.png")
    expected = np.asarray(original.resize((20, 15), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(cache.image(0), expected)
    assert built(PETS | {"max_side": 40}, tmp_path).shapes.tolist() == [[30, 40]] * 5


def test_parts_of_an_object_are_not_objects(root, tmp_path):
    path = root / "Annotations/one.xml"
    head = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    path.write_text(path.read_text().replace("</object>", head))
    assert len(built(PETS, tmp_path).objects(0)) == 2


def test_workers_and_a_second_build_change_nothing(root, tmp_path):
    first = built(PETS, tmp_path).manifest
    assert built(PETS, tmp_path, workers=2).manifest == first


def test_voc_trains_on_both_years_and_tests_on_2007(tmp_path):
    kit = tmp_path / "voc" / "VOCdevkit"
    voc_folder(kit / "VOC2007", {"trainval": {"a": [("dog", 1, 1, 5, 5)]}, "test": TEST})
    voc_folder(kit / "VOC2012", {"trainval": {"a": [("cat", 1, 1, 5, 5)]}})
    for path in ("voc", "voc/VOCdevkit"):
        cache = built({"name": "voc", "kind": "voc", "path": path}, tmp_path)
        assert (cache.n_train, len(cache)) == (2, 4)
        assert [cache.classes[int(cache.objects(i).classes[0])] for i in (0, 1)] == ["dog", "cat"]
    (kit / "VOC2012/ImageSets/Main/trainval.txt").unlink()
    with pytest.raises(DataError, match="VOC2012"):
        built({"name": "voc", "kind": "voc", "path": "voc"}, tmp_path)


def test_without_lists_a_seed_splits_the_images(tmp_path):
    scenes = {f"{i:02}": [("dog" if i % 2 else "cat", 1, 1, 5, 5)] for i in range(20)}
    voc_folder(tmp_path / "pets", {"unused": scenes | {"rare": [("owl", 1, 1, 9, 9)]}})
    split = PETS | {"test_fraction": 0.25, "split_seed": 0}
    cache = built(split, tmp_path)
    assert (cache.n_train, len(cache)) == (16, 21)
    assert cache.classes == ("cat", "dog", "owl")  # a class of one image is always learned
    again, other = built(split, tmp_path), built(split | {"split_seed": 1}, tmp_path)
    np.testing.assert_array_equal(cache.images, again.images)
    assert not np.array_equal(cache.images, other.images)
    with pytest.raises(DataError, match="Give one"):
        built(split | {"train": "unused"}, tmp_path)
    with pytest.raises(DataError, match="Add split_seed"):
        built(split | {"split_seed": None}, tmp_path)


# What is wrong: (what is done to the folder, words of the message)


def annotate(name, *objects, size=(WIDTH, HEIGHT)):
    def change(root):
        (root / f"Annotations/{name}.xml").write_text(xml(objects, size))

    return change


def replace_text(name, old, new):
    def change(root):
        path = root / f"Annotations/{name}.xml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def truncate(root, suffix=".png"):
    (root / "JPEGImages/two.png").unlink()
    path = root / f"JPEGImages/two{suffix}"
    write_image(path)
    path.write_bytes(path.read_bytes()[:-200])


def truncate_jpeg(root):
    """Its size can be read, its pixels cannot."""
    truncate(root, ".jpg")


def second_file(root):
    write_image(root / "JPEGImages/two.jpg")


BAD = {
    "outside": (annotate("two", ("cat", 35, 1, 60, 10)), "more than half lies outside"),
    "far outside": (annotate("two", ("cat", 100, 100, 110, 110)), "more than half lies outside"),
    "zero size": (annotate("two", ("cat", 5, 5, 5, 5)), r"'cat'\) has a box .* is of no size"),
    "turned round": (annotate("two", ("cat", 9, 5, 5, 9)), "is of no size"),
    "not finite": (annotate("two", ("cat", 1, 1, "nan", 9)), "not finite"),
    "no number": (annotate("two", ("cat", 1, 1, "ten", 9)), "xmax of .* is 'ten'"),
    "no edge": (replace_text("two", "<xmax>12</xmax>", ""), "has no xmax"),
    "no name": (replace_text("two", "<name>cat</name>", ""), "object 1 has no name"),
    "difficult": (annotate("two", ("cat", 1, 1, 9, 9, "yes")), "difficult is 'yes'"),
    "another size": (annotate("two", size=(30, 40)), "40 x 30 pixels .* of one of 30 x 40"),
    "broken XML": (lambda root: (root / "Annotations/two.xml").write_text("<annotation>"),
                   "cannot be read as XML"),
    "other XML": (lambda root: (root / "Annotations/two.xml").write_text("<svg/>"), "<svg>"),
    "empty XML": (lambda root: (root / "Annotations/two.xml").write_bytes(b""), "as XML"),
    "no annotations": (lambda root: (root / "Annotations/two.xml").unlink(), "two.xml is missing"),
    "no image": (lambda root: (root / "JPEGImages/two.png").unlink(), "no such file"),
    "truncated image": (truncate, "truncated|Truncated"),
    "truncated JPEG": (truncate_jpeg, "truncated"),
    "no image content": (lambda root: (root / "JPEGImages/two.png").write_bytes(b"text"),
                         "no image in a format"),
    "two files": (second_file, "have one name"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scene_stops_the_build_or_is_left_out_by_name(root, tmp_path, name):
    change, words = BAD[name]
    change(root)
    with pytest.raises(DataError, match=words) as raised:
        built(PETS, tmp_path)
    assert str(root / "JPEGImages" / "two.") in str(raised.value)
    assert "leave_out" in str(raised.value)
    cache = built(PETS, tmp_path, policy="leave_out")
    assert (cache.n_train, len(cache)) == (2, 4)
    ((left),) = cache.manifest["left_out"]
    assert left["path"].startswith("JPEGImages/two.")
    assert cache.objects(0).boxes.tolist() == [[0, 0, 10, 20], [4, 5, 40, 30]]
    stored = np.asarray(Image.open(root / "JPEGImages/none.png"))
    np.testing.assert_array_equal(cache.image(1), stored)


def test_a_box_that_is_half_inside_is_cut_off_and_counted(root, tmp_path):
    annotate("two", ("cat", 31, 1, 50, 10), ("cat", 0, 0, 5, 5))(root)
    cache = built(PETS, tmp_path)
    assert cache.objects(1).boxes.tolist() == [[30, 0, 40, 10], [0, 0, 5, 5]]
    assert cache.objects(1).areas.tolist() == [100, 25]
    assert (cache.manifest["clipped_train"], cache.manifest["clipped_test"]) == (2, 0)


def test_a_class_that_is_only_tested_is_refused(root, tmp_path):
    annotate("four", ("owl", 1, 1, 9, 9))(root)
    with pytest.raises(DataError, match=r"'owl'.* without any object to train on"):
        built(PETS, tmp_path)
    cache = built(PETS, tmp_path, policy="leave_out")
    assert cache.classes == ("cat", "dog")
    assert len(cache) == 4


def test_a_class_that_lost_its_training_images_is_refused(root, tmp_path):
    annotate("two", ("owl", 1, 1, 9, 9))(root)
    truncate_jpeg(root)
    with pytest.raises(DataError, match="'owl': no training image"):
        built(PETS, tmp_path, policy="leave_out")


@pytest.mark.parametrize(("split", "word"), [("trainval", "object to train"), ("test", "test im")])
def test_a_split_of_which_nothing_is_left_is_refused(root, tmp_path, split, word):
    for name in TRAIN if split == "trainval" else TEST:
        (root / f"Annotations/{name}.xml").unlink()
    with pytest.raises(DataError, match=rf"no {word}.*left out, the first is"):
        built(PETS, tmp_path, policy="leave_out")


def test_a_name_that_is_listed_twice_is_refused(root, tmp_path):
    path = root / "ImageSets/Main/trainval.txt"
    path.write_text(path.read_text() + "two\n")
    with pytest.raises(DataError, match="the first is 'two'"):
        built(PETS, tmp_path, policy="leave_out")


def test_missing_folders_and_lists_are_named(root, tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        built(PETS | {"path": "nowhere"}, tmp_path)
    with pytest.raises(DataError, match=r"val\.txt.* there are test, trainval"):
        built(PETS | {"test": "val"}, tmp_path)


def test_images_in_both_splits_are_listed(root, tmp_path):
    content = (root / "JPEGImages/one.png").read_bytes()
    (root / "JPEGImages/four.png").write_bytes(content)
    pairs = built(PETS, tmp_path).manifest["in_both_splits"]
    assert pairs[0] == ["JPEGImages/one.png", "JPEGImages/four.png"]


def test_a_photo_is_turned_as_its_exif_block_says(root, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(root / "JPEGImages/two.png", exif=exif)
    assert built(PETS, tmp_path).shapes[1].tolist() == [HEIGHT, WIDTH]


def test_a_build_that_was_stopped_goes_on(root, tmp_path, monkeypatch):
    whole = built(PETS, tmp_path).manifest
    shutil.rmtree(tmp_path / "cache-pets")
    monkeypatch.setattr(parts, "IMAGES", 2)
    prepared = []
    prepare = parts._prepare_file

    def stop_at_the_fourth(recipe, index, path):
        if len(prepared) == 3:
            prepared.append("stopped")
            raise KeyboardInterrupt
        prepared.append(path)
        return prepare(recipe, index, path)

    monkeypatch.setattr(parts, "_prepare_file", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        built(PETS, tmp_path)
    assert not (tmp_path / "cache-pets/manifest.json").exists()
    assert built(PETS, tmp_path).manifest == whole
    again = prepared[prepared.index("stopped") + 1 :]
    names = ["none", "four", "five"]  # the part of the first two images was kept
    assert again == [f"JPEGImages/{name}.png" for name in names]
