"""Caches: what is written is what is read, whole or not at all, and damage is named."""

import csv
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import fixed_size_array, load_cache, verify_cache
from robust_transfer.images.fingerprint import fingerprint
from robust_transfer.toy_world.render import render
from robust_transfer.training.squares import squares

TOY = {"size": 16, "n_train": 24, "n_test": 13, "seed": 0, "grating": 0}
DIGITS = {"name": "toy_digits", "kind": "toy", "alphabet": "digits", **TOY}
FILES = {"images.npy", "shapes.npy", "labels.npy", "files.csv", "manifest.json"}
SIZES = [(20, 30), (31, 20), (25, 25), (64, 16)]  # width, height


def picture(size, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise)


@pytest.fixture
def folder_set(tmp_path):
    """Two classes; images of four sizes in train, three a class in test; lossless."""
    root = tmp_path / "data" / "pets"
    for label, name in enumerate(("cat", "dog")):
        for split, count in (("train", 4), ("test", 3)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                seed = 100 * label + 10 * (split == "test") + i
                picture(SIZES[i], seed).save(root / split / name / f"{i}.png")
    return {"name": "pets", "kind": "folder", "path": "pets"}


def build(dataset, folder, resolution="native", **how):
    settings = {"data_root": folder.parent / "data", "on_bad_image": "stop"} | how
    build_cache(dataset, resolution, folder, **settings)
    return load_cache(folder)


def rows_of(folder):
    with (folder / "files.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_a_toy_cache_holds_the_rendered_images(tmp_path):
    cache = build(DIGITS, tmp_path / "cache")
    toy = render("digits", **TOY)
    np.testing.assert_array_equal(cache.images, toy.images)
    np.testing.assert_array_equal(cache.labels, toy.labels)
    assert cache.fixed_size
    assert cache.classes == tuple("0123456789")
    assert (cache.n_train, len(cache)) == (24, 37)
    assert (cache.dataset, cache.resolution) == ("toy_digits", "native")
    np.testing.assert_array_equal(cache.split("train"), np.arange(24))
    np.testing.assert_array_equal(cache.split("test"), np.arange(24, 37))
    np.testing.assert_array_equal(cache.image(5), toy.images[5])


def test_uci_digits_are_the_scans_that_scikit_learn_ships(tmp_path):
    from sklearn.datasets import load_digits

    dataset = {"name": "uci", "kind": "uci_digits", "test_fraction": 0.4, "split_seed": 0}
    cache = build(dataset, tmp_path / "cache")
    assert cache.images.shape == (1797, 8, 8, 3)
    assert len(cache) - cache.n_train == round(0.4 * 1797)
    ours = sorted(map(bytes, np.rint(cache.images[..., 0] / 255 * 16).astype(np.uint8)))
    theirs = sorted(map(bytes, load_digits().images.astype(np.uint8)))
    assert ours == theirs


def test_uci_digits_can_be_thinned(tmp_path):
    dataset = {"name": "uci", "kind": "uci_digits", "test_fraction": 0.4, "split_seed": 0}
    cache = build(dataset | {"max_train": 50, "max_test": 20}, tmp_path / "cache")
    assert cache.manifest["histogram"] == {"train": [5] * 10, "test": [2] * 10}


def test_a_native_cache_of_files_keeps_every_pixel_and_shape(folder_set, tmp_path):
    cache = build(folder_set, tmp_path / "cache")
    assert not cache.fixed_size
    for index, row in enumerate(rows_of(cache.folder)):
        path = tmp_path / "data" / "pets" / row["path"]
        np.testing.assert_array_equal(cache.image(index), np.asarray(Image.open(path)))
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["split"] == ("train" if index < cache.n_train else "test")
        assert row["class"] == cache.classes[cache.labels[index]] == Path(row["path"]).parts[1]
        assert int(row["index"]) == index


def test_the_last_image_of_a_ragged_cache_can_be_counted_from_the_end(folder_set, tmp_path):
    cache = build(folder_set, tmp_path / "cache")
    np.testing.assert_array_equal(cache.image(-1), cache.image(len(cache) - 1))
    with pytest.raises(IndexError):
        cache.image(len(cache))


def test_the_manifest_counts_classes_and_names_sources(folder_set, tmp_path):
    manifest = build(folder_set, tmp_path / "cache", "32").manifest
    assert manifest["schema_version"] == 1
    assert manifest["classes"] == ["cat", "dog"]
    assert manifest["histogram"] == {"train": [4, 4], "test": [3, 3]}
    assert manifest["left_out"] == []
    assert manifest["in_both_splits"] == []
    assert "32" in manifest["resize"]
    assert "pets" in manifest["source"]
    assert len(manifest["source_files_sha256"]) == 64


def test_images_in_both_splits_are_listed_in_pairs(folder_set, tmp_path):
    root = tmp_path / "data" / "pets"
    (root / "test/dog/copy.png").write_bytes((root / "train/cat/1.png").read_bytes())
    manifest = build(folder_set, tmp_path / "cache").manifest
    assert manifest["in_both_splits"] == [["train/cat/1.png", "test/dog/copy.png"]]


def test_a_native_cache_can_be_reduced_to_a_shorter_side(folder_set, tmp_path):
    cache = build(folder_set, tmp_path / "cache", native_short_side=18)
    assert cache.shapes.min(axis=1).tolist() == [18, 18, 18, 16, 18, 18, 18, 16, *[18] * 6]
    assert "18" in cache.manifest["resize"]


def test_a_fixed_resolution_makes_one_array(folder_set, tmp_path):
    cache = build(folder_set, tmp_path / "cache", "12")
    assert cache.images.shape == (14, 12, 12, 3)
    assert cache.fixed_size
    assert (np.asarray(cache.shapes) == 12).all()


def test_workers_change_nothing(folder_set, tmp_path):
    alone = build(folder_set, tmp_path / "one")
    together = build(folder_set, tmp_path / "two", workers=2)
    assert together.manifest == alone.manifest


def test_building_twice_gives_the_same_bytes(folder_set, tmp_path):
    build(folder_set, tmp_path / "cache")
    before = {name: (tmp_path / "cache" / name).read_bytes() for name in FILES}
    build(folder_set, tmp_path / "cache")
    assert {name: (tmp_path / "cache" / name).read_bytes() for name in FILES} == before
    assert {path.name for path in (tmp_path / "cache").iterdir()} == FILES


def test_arrays_are_plain_npy_files(folder_set, tmp_path):
    build(folder_set, tmp_path / "cache")
    for name in ("images", "shapes", "labels"):
        assert np.load(tmp_path / "cache" / f"{name}.npy", allow_pickle=False).size


def test_a_cache_travels_to_another_process_as_its_folder(tmp_path):
    cache = build(DIGITS, tmp_path / "cache")
    parcel = pickle.dumps(cache)
    assert len(parcel) < 1000
    np.testing.assert_array_equal(pickle.loads(parcel).images, cache.images)


def test_images_at_the_size_of_the_cache_are_copied_as_they_are(tmp_path):
    cache = build(DIGITS, tmp_path / "cache")
    chosen = fixed_size_array(cache, np.array([7, 0, 30]), 16)
    np.testing.assert_array_equal(chosen, cache.images[[7, 0, 30]])
    chosen[:] = 0  # a copy: the file is not touched
    verify_cache(tmp_path / "cache")


@pytest.mark.parametrize("size", [8, 24])
def test_images_of_other_sizes_are_resized_and_cropped(folder_set, tmp_path, size):
    cache = build(folder_set, tmp_path / "cache")
    result = fixed_size_array(cache, np.arange(len(cache)), size)
    assert result.shape == (14, size, size, 3)
    square = next(i for i in range(len(cache)) if tuple(cache.shapes[i]) == (25, 25))
    expected = Image.fromarray(cache.image(square)).resize((size, size), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(result[square], np.asarray(expected))
    for threads in (1, 3):
        quick = squares(cache, np.arange(len(cache)), size, threads)
        assert np.abs(quick.astype(int) - result).max() <= 2


def test_a_failed_build_leaves_the_earlier_cache_as_it_was(folder_set, tmp_path):
    build(folder_set, tmp_path / "cache")
    before = (tmp_path / "cache" / "manifest.json").read_bytes()
    (tmp_path / "data/pets/test/dog/9.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"9\.png"):
        build(folder_set, tmp_path / "cache")
    verify_cache(tmp_path / "cache")
    assert (tmp_path / "cache" / "manifest.json").read_bytes() == before
    assert {path.name for path in (tmp_path / "cache").iterdir()} == FILES


@pytest.mark.parametrize("resolution", ["32x32", "0", "-1", "full", ""])
def test_a_resolution_that_is_none_is_refused(tmp_path, resolution):
    with pytest.raises(ConfigError, match="resolution"):
        build(DIGITS, tmp_path / "cache", resolution)


def test_a_kind_or_policy_that_does_not_exist_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'folder'"):
        build({"name": "x", "kind": "foldr"}, tmp_path / "cache")
    with pytest.raises(ConfigError, match="Did you mean 'leave_out'"):
        build(DIGITS, tmp_path / "cache", on_bad_image="leave-out")


def test_too_few_toy_images_for_the_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match="do not cover"):
        build(DIGITS | {"n_train": 9}, tmp_path / "cache")


def test_a_fingerprint_changes_with_every_key_and_not_with_their_order():
    names = {fingerprint(DIGITS | {key: "other"}) for key in DIGITS} | {fingerprint(DIGITS)}
    assert len(names) == len(DIGITS) + 1
    assert fingerprint(dict(reversed(DIGITS.items()))) == fingerprint(DIGITS)
    assert fingerprint(DIGITS | {"max_train": None}) == fingerprint(DIGITS)
    assert fingerprint(DIGITS | {"grating": 0.0}) == fingerprint(DIGITS)
    assert all(len(name) == 8 and int(name, 16) >= 0 for name in names)


def test_the_manifest_is_strict_json_without_machine_paths(folder_set, tmp_path):
    build(folder_set, tmp_path / "cache")
    text = (tmp_path / "cache" / "manifest.json").read_text()
    json.loads(text)
    assert str(tmp_path) not in text
