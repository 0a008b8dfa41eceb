"""Scene caches: what is written is what is read, whole or not at all, and damage is named."""

import json
import pickle

import numpy as np
import pytest
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.images.stream import PixelStream
from robust_transfer.scenes.build import build_scene_cache
from robust_transfer.scenes.cache import load_scene_cache, verify_scene_cache
from robust_transfer.scenes.masks import decode, encode, pack, unpack
from robust_transfer.scenes.toy import toy_objects
from robust_transfer.scenes.write import FILES
from robust_transfer.toy_world.scenes import SceneRecipe, render_scene

TOY = {"name": "toy", "kind": "toy_scenes", "alphabet": "digits", "size": 64, "objects": 2,
       "object_size": [16, 24], "n_train": 15, "n_test": 6, "seed": 0, "grating": 0}  # fmt: skip


def build(folder, **changes):
    how = {"data_root": folder / "none", "on_bad_image": "stop"}
    build_scene_cache(TOY | changes, output=folder, **how)
    return load_scene_cache(folder)


@pytest.fixture
def cache(tmp_path):
    return build(tmp_path / "cache")


def test_a_cache_holds_the_scenes_that_were_rendered(cache):
    recipe = SceneRecipe("digits", 64, 2, (16, 24), 0, 0)
    assert (cache.n_train, len(cache), cache.dataset) == (15, 21, "toy")
    assert cache.classes == tuple("0123456789")
    assert cache.images.ndim == 1
    for index in range(len(cache)):
        split, place = divmod(index, 15)
        scene = render_scene(recipe, split, place)
        expected, objects = toy_objects(scene), cache.objects(index)
        np.testing.assert_array_equal(cache.image(index), scene.image)
        for name in ("boxes", "classes", "crowd", "difficult", "areas"):
            one, other = getattr(objects, name), getattr(expected, name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(decode(objects.masks, (64, 64)), scene.masks)


def test_positions_count_from_the_end_too(cache):
    np.testing.assert_array_equal(cache.image(-1), cache.image(20))
    np.testing.assert_array_equal(cache.objects(-1).boxes, cache.objects(20).boxes)
    with pytest.raises(IndexError):
        cache.objects(21)
    np.testing.assert_array_equal(cache.split("train"), np.arange(15))
    np.testing.assert_array_equal(cache.split("test"), np.arange(15, 21))
    with pytest.raises(ValueError, match="train or test"):
        cache.split("val")


def test_the_manifest_counts_objects_and_names_sources(cache):
    manifest = cache.manifest
    assert (manifest["schema_version"], manifest["kind"]) == (1, "toy_scenes")
    for split in ("train", "test"):
        labels = np.concatenate([cache.objects(i).classes for i in cache.split(split)])
        assert manifest["objects"][split] == np.bincount(labels, minlength=10).tolist()
    assert manifest["masks"] is True
    assert manifest["left_out"] == manifest["in_both_splits"] == []
    assert set(manifest["sha256"]) == set(FILES) - {"manifest.json"}
    assert (cache.folder / "files.csv").read_text().count("\n") == 22


def test_a_cache_travels_to_another_process_as_its_folder(cache):
    parcel = pickle.dumps(cache)
    assert len(parcel) < 1000
    np.testing.assert_array_equal(pickle.loads(parcel).images, cache.images)


def test_building_twice_gives_the_same_bytes(cache):
    before = {name: (cache.folder / name).read_bytes() for name in FILES}
    build(cache.folder)
    assert {name: (cache.folder / name).read_bytes() for name in FILES} == before
    assert {path.name for path in cache.folder.iterdir()} == set(FILES)


def test_more_scenes_leave_the_first_as_they_were(cache, tmp_path):
    more = build(tmp_path / "more", n_train=20)
    np.testing.assert_array_equal(more.image(14), cache.image(14))
    np.testing.assert_array_equal(more.image(20), cache.image(15))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(cache, name):
    (cache.folder / name).unlink()
    with pytest.raises(DataError, match=name):
        verify_scene_cache(cache.folder)


@pytest.mark.parametrize("name", ["images.npy", "shapes.npy", "objects.npz"])
def test_a_truncated_file_is_named(cache, name):
    path = cache.folder / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=name):
        load_scene_cache(cache.folder)


@pytest.mark.parametrize("name", ["images.npy", "files.csv"])
def test_one_changed_byte_is_found_by_the_checksums(cache, name):
    verify_scene_cache(cache.folder)
    path = cache.folder / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        verify_scene_cache(cache.folder)


def columns_of(cache):
    with np.load(cache.folder / "objects.npz") as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("starts", lambda old: old[:-1]),
        ("starts", lambda old: old[::-1]),
        ("boxes", lambda old: old[:-1]),
        ("classes", lambda old: old + 1),
        ("crowd", lambda old: old[1:]),
        ("mask_starts", lambda old: old + 1),
        ("mask_bytes", lambda old: old[:-1]),
    ],
)
def test_objects_that_disagree_with_the_rest_are_refused(cache, name, change):
    columns = columns_of(cache)
    np.savez(cache.folder / "objects.npz", **columns | {name: change(columns[name])})
    with pytest.raises(DataError, match="disagree"):
        load_scene_cache(cache.folder)


def test_objects_of_another_type_or_without_a_column_are_refused(cache):
    columns = columns_of(cache)
    path = cache.folder / "objects.npz"
    np.savez(path, **columns | {"areas": columns["areas"].astype(np.float32)})
    with pytest.raises(DataError, match="areas: float32, expected float64"):
        load_scene_cache(cache.folder)
    columns.pop("crowd")
    np.savez(path, **columns)
    with pytest.raises(DataError, match="crowd: nothing"):
        load_scene_cache(cache.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}'])
def test_a_manifest_that_is_none_or_too_new_is_refused(cache, text):
    (cache.folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="manifest"):
        load_scene_cache(cache.folder)


def test_a_failed_build_leaves_the_earlier_cache_as_it_was(cache, monkeypatch):
    before = (cache.folder / "manifest.json").read_bytes()
    whole = PixelStream.append

    def fail(self, pixels):
        if len(self.shapes) == 7:
            raise RuntimeError("in the middle")
        whole(self, pixels)

    monkeypatch.setattr(PixelStream, "append", fail)
    with pytest.raises(RuntimeError):
        build(cache.folder)
    verify_scene_cache(cache.folder)
    assert (cache.folder / "manifest.json").read_bytes() == before
    assert {path.name for path in cache.folder.iterdir()} == set(FILES)


def test_a_kind_or_policy_that_does_not_exist_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'toy_scenes'"):
        build(tmp_path, kind="toy_scene")
    with pytest.raises(ConfigError, match="Did you mean 'leave_out'"):
        build_scene_cache(TOY, data_root="", on_bad_image="leave-out", output=tmp_path)


def test_the_manifest_is_strict_json_without_machine_paths(cache, tmp_path):
    text = (cache.folder / "manifest.json").read_text()
    json.loads(text)
    assert str(tmp_path) not in text


def test_masks_are_what_they_were_after_packing():
    masks = np.random.default_rng(0).random((3, 7, 5)) < 0.5
    masks[1] = False
    counts = encode(masks)
    assert unpack(*pack(counts)) == counts
    np.testing.assert_array_equal(decode(counts, (7, 5)), masks)
    assert encode(masks[:0]) == unpack(*pack(())) == ()
    assert decode((), (7, 5)).shape == (0, 7, 5)
