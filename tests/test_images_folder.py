"""Image folders: layouts, splits, and every mistake named with its file and its cure."""

import csv
import unicodedata

import numpy as np
import pytest
from PIL import Image
from robust_transfer.errors import DataError
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from robust_transfer.images.folder import list_folder

SPLIT = {"test_fraction": 0.25, "split_seed": 0}


def put(root, *paths):
    """Write a small image of its own colour at every path."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        colour = tuple(np.random.default_rng(list(str(path).encode())).integers(0, 256, 3))
        Image.new("RGB", (5, 4), tuple(int(c) for c in colour)).save(file)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "birds"


@pytest.fixture
def split_root(root):
    for split, count in (("train", 4), ("test", 2)):
        put(root, *(f"{split}/{name}/{i}.png" for name in ("jay", "owl") for i in range(count)))
    return root


def definition(**keys):
    return {"name": "birds", "kind": "folder", "path": "birds", **keys}


def listed(root, **keys):
    return list_folder(definition(**keys), root.parent)


def built(root, on_bad_image="stop", **keys):
    cache = root.parent / "cache"
    build_cache(
        definition(**keys), "native", cache, data_root=root.parent, on_bad_image=on_bad_image
    )
    return load_cache(cache)


def test_train_and_test_folders_make_the_splits(split_root):
    listing = listed(split_root)
    assert listing.classes == ("jay", "owl")
    assert listing.n_train == 8
    assert listing.paths[0] == "train/jay/0.png"
    assert listing.paths[8:] == tuple(f"test/{c}/{i}.png" for c in ("jay", "owl") for i in (0, 1))
    assert listing.labels.tolist() == [0] * 4 + [1] * 4 + [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["val", "valid"])
def test_other_usual_names_of_the_test_folder_are_found(split_root, name):
    (split_root / "test").rename(split_root / name)
    assert listed(split_root).paths[-1] == f"{name}/owl/1.png"


def test_the_test_folder_can_be_named(split_root):
    put(split_root, "held_out/jay/9.png")
    assert listed(split_root, test_folder="held_out").paths[8:] == ("held_out/jay/9.png",)


def test_one_folder_is_split_by_a_seed_class_by_class(root):
    put(root, *(f"{name}/{i}.png" for name in ("jay", "owl") for i in range(8)))
    listing = listed(root, **SPLIT)
    assert np.bincount(listing.labels[: listing.n_train]).tolist() == [6, 6]
    assert sorted(listing.paths) == sorted(f"{c}/{i}.png" for c in ("jay", "owl") for i in range(8))
    assert listed(root, **SPLIT).paths == listing.paths
    assert listed(root, test_fraction=0.25, split_seed=1).paths != listing.paths


def test_a_test_fraction_splits_the_train_folder_and_leaves_test_unread(split_root):
    listing = listed(split_root, **SPLIT)
    assert len(listing) == 8
    assert all(path.startswith("train/") for path in listing.paths)


def test_a_folder_train_of_images_alone_is_a_class(root):
    put(root, *(f"{name}/{i}.png" for name in ("car", "train") for i in range(4)))
    assert listed(root, **SPLIT).classes == ("car", "train")


def test_classes_may_be_named_by_two_levels(root):
    put(root, *(f"{a}/{c}/{i}.png" for a in ("latin", "greek") for c in "xy" for i in range(4)))
    listing = listed(root, class_depth=2, **SPLIT)
    assert listing.classes == ("greek/x", "greek/y", "latin/x", "latin/y")


def test_images_are_found_deeper_than_their_class(root):
    put(root, *(f"{name}/images/more/{i}.png" for name in ("jay", "owl") for i in range(4)))
    assert listed(root, **SPLIT).classes == ("jay", "owl")


def test_hidden_and_known_other_files_are_ignored(split_root):
    for name in (".DS_Store", "Thumbs.db", "boxes.txt", "._0.png", "notes.json"):
        (split_root / "train/jay" / name).write_bytes(b"other")
    (split_root / "train/.ipynb_checkpoints").mkdir()
    (split_root / "README.txt").write_text("birds")
    assert len(listed(split_root)) == 12


def test_links_are_followed_but_not_in_rings(split_root):
    (split_root / "train/jay/ring").symlink_to(split_root / "train/jay")
    put(split_root.parent, "elsewhere/7.png")
    (split_root / "train/jay/linked").symlink_to(split_root.parent / "elsewhere")
    paths = listed(split_root).paths
    assert "train/jay/linked/7.png" in paths
    assert len(paths) == 13


def test_names_that_are_not_ascii_work(root):
    put(root, *(f"{name}/bild {i} ü.png" for name in ("Eichelhäher", "梟") for i in range(4)))
    cache = built(root, **SPLIT)
    assert cache.classes == ("Eichelhäher", "梟")
    with (cache.folder / "files.csv").open(encoding="utf-8") as table:
        assert {row["class"] for row in csv.DictReader(table)} == set(cache.classes)


def test_a_class_name_is_in_normal_form_c(root):
    decomposed = unicodedata.normalize("NFD", "Häher")
    put(root, *(f"{name}/{i}.png" for name in (decomposed, "owl") for i in range(4)))
    assert built(root, **SPLIT).classes == ("Häher", "owl")


def test_sets_can_be_thinned_in_proportion(root):
    put(root, *(f"train/a/{i}.png" for i in range(20)), *(f"train/b/{i}.png" for i in range(10)))
    put(root, *(f"test/{name}/{i}.png" for name in "ab" for i in range(6)))
    listing = listed(root, max_train=9, max_test=4, split_seed=0)
    assert np.bincount(listing.labels[: listing.n_train]).tolist() == [6, 3]
    assert np.bincount(listing.labels[listing.n_train :]).tolist() == [2, 2]
    more = listed(root, max_train=12, max_test=4, split_seed=0)
    assert more.paths[more.n_train :] == listing.paths[listing.n_train :]


def test_a_class_may_be_missing_from_test(split_root):
    for file in (split_root / "test/owl").iterdir():
        file.unlink()
    (split_root / "test/owl").rmdir()
    assert built(split_root).manifest["histogram"]["test"] == [2, 0]


def refused(root, words, **keys):
    with pytest.raises(DataError, match=words) as raised:
        listed(root, **keys)
    assert str(root) in str(raised.value)


def test_a_missing_folder_is_named(root):
    refused(root, "no such folder")


def test_an_empty_folder_is_named(root):
    root.mkdir()
    refused(root, "no images", **SPLIT)


def test_a_missing_test_folder_tells_of_the_two_ways(split_root):
    (split_root / "test").rename(split_root / "exam")
    refused(split_root, "test_fraction")
    refused(split_root, "no folder val", test_folder="val")


def test_one_folder_without_a_fraction_tells_of_the_two_ways(root):
    put(root, "jay/0.png", "owl/0.png")
    refused(root, "test_fraction")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_named(split_root, split):
    (split_root / split / "wren").mkdir()
    refused(split_root, r"class 'wren'.*holds no image")


def test_a_class_with_only_ignored_files_is_empty(split_root):
    (split_root / "train/wren").mkdir()
    (split_root / "train/wren/list.txt").write_text("none")
    refused(split_root, "class 'wren'")


def test_a_class_in_test_that_train_does_not_have_is_named(split_root):
    put(split_root, "test/owls/0.png")
    refused(split_root, r"'owls'.*Did you mean 'owl'")


@pytest.mark.parametrize(
    "spellings", [("owl", "Owl"), ("Häher", unicodedata.normalize("NFD", "häher"))]
)
def test_two_spellings_of_one_class_are_named(root, spellings):
    put(root, *(f"{name}/{i}.png" for name in spellings for i in range(4)))
    refused(root, "two spellings", **SPLIT)


def test_one_class_is_not_enough(root):
    put(root, "jay/0.png", "jay/1.png")
    refused(root, "only one class", **SPLIT)


def test_an_image_beside_the_classes_is_named(split_root):
    put(split_root, "train/stray.png")
    refused(split_root, r"stray\.png")


def test_test_folder_and_test_fraction_together_are_refused(split_root):
    refused(split_root, "both", test_folder="test", **SPLIT)


def test_a_draw_without_a_seed_is_refused(split_root):
    refused(split_root, "split_seed", test_fraction=0.2)
    with pytest.raises(DataError, match="split_seed"):
        listed(split_root, max_train=3)


def test_fewer_training_images_than_classes_are_refused(split_root):
    with pytest.raises(DataError, match="do not cover"):
        listed(split_root, max_train=1, split_seed=0)


BAD = {"text.jpg": b"I am no image", "empty.png": b"", "unknown": b"no extension"}


@pytest.mark.parametrize("name", [*BAD, "cut.png"])
def test_a_bad_image_stops_the_build_and_names_itself(split_root, name):
    write_bad(split_root / "train/owl" / name)
    with pytest.raises(DataError, match="leave_out") as raised:
        built(split_root)
    assert f"train/owl/{name}" in str(raised.value)
    assert not (split_root.parent / "cache/manifest.json").exists()


def test_bad_images_can_be_left_out_and_are_counted(split_root):
    for name in [*BAD, "cut.png"]:
        write_bad(split_root / "train/owl" / name)
    cache = built(split_root, on_bad_image="leave_out")
    left_out = {record["path"]: record["reason"] for record in cache.manifest["left_out"]}
    assert set(left_out) == {f"train/owl/{name}" for name in [*BAD, "cut.png"]}
    assert all(left_out.values())
    assert (cache.n_train, len(cache)) == (8, 12)


def test_a_class_that_loses_its_last_training_image_stops_the_build(split_root):
    for file in (split_root / "train/owl").iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="class 'owl': no training image"):
        built(split_root, on_bad_image="leave_out")


def test_a_file_that_cannot_be_read_is_never_left_out(split_root):
    (split_root / "train/owl/gone.png").symlink_to(split_root / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png: the file cannot be read"):
        built(split_root, on_bad_image="leave_out")


def write_bad(path):
    if path.name == "cut.png":
        put(path.parent, path.name)
        path.write_bytes(path.read_bytes()[:45])  # after the header
    else:
        path.write_bytes(BAD[path.name])
