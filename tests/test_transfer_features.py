"""Features of a frozen backbone: computed by one job, and what reads them cannot tell."""

import errno
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from config_subjects import demo
from robust_transfer.config.check import check_config
from robust_transfer.config.kept_features import kept_features
from robust_transfer.errors import DataError
from robust_transfer.images.cache import load_cache
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.randomness import derived_generator
from robust_transfer.training.squares import squares
from robust_transfer.transfer import features
from robust_transfer.transfer import kept_features as kept
from robust_transfer.transfer.cell import transfer_cell
from robust_transfer.transfer.kept_features import extract_features
from transfer_subjects import FIXED, cell, network, target, write_cache, write_network

VIEWS = {"seeds": [3, 5], "augmented_views": 2, "augmentation": "shift"}
RECIPE = FIXED | {"augmented_views": 2}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A backbone that was never trained, a small cache of 80 + 40 images, and kept features."""
    folder = tmp_path_factory.mktemp("features")
    write_cache(folder / "cache")
    write_network(folder)
    extract(folder, "views", **VIEWS)
    extract(folder, "plain", **VIEWS | {"seeds": [], "augmented_views": 0})
    return folder


def extract(folder, name, **how):
    files = [str(folder / f"{name}.npy"), str(folder / f"{name}.json")]
    extract_features(folder / "weights.safetensors", folder / "cache", *files, **how)
    return files


def transferred(folder, features, home, recipe=RECIPE, **changes):
    """A whole cell from files to files; return the bytes of its predictions, and the records."""
    homes = [home / f"seed{seed}" for seed in VIEWS["seeds"]]
    predictions = [str(each / "predictions.npz") for each in homes]
    records = [str(each / "transfer.json") for each in homes]
    transfer_cell(folder / "weights.safetensors", folder / "cache", cell(**changes), recipe,
                  seeds=VIEWS["seeds"], predictions=predictions, records=records, code="code",
                  features=features)  # fmt: skip
    return (
        [Path(path).read_bytes() for path in predictions],
        [json.loads(Path(path).read_text(encoding="utf-8")) for path in records],
    )


def test_the_file_holds_every_image_then_the_views_of_each_seed(inputs):
    found, cache = np.load(inputs / "views.npy"), load_cache(inputs / "cache")
    pixels = torch.tensor(np.array(cache.images)).permute(0, 3, 1, 2)
    expected = [pixels / 255]
    for seed in VIEWS["seeds"]:
        for view in range(2):
            generator = derived_generator(seed, "views", view)
            expected.append(augmentation("shift")(pixels[:80], generator))
    with torch.no_grad():
        features = torch.cat([network().features(each) for each in expected]).numpy()
    assert found.shape == (120 + 2 * 2 * 80, 16)
    np.testing.assert_allclose(found, features, atol=1e-5)


def test_its_record_says_what_the_rows_are_and_what_they_took(inputs):
    about = json.loads((inputs / "views.json").read_text())
    known = {"backbone": "a backbone", "image_size": 32, "images": 120, "training_images": 80,
             "width": 16} | VIEWS  # fmt: skip
    assert {key: about[key] for key in known} == known
    assert (about["plain"]["images"], about["views"]["images"]) == (120, 320)
    assert min(about[key]["seconds"] for key in ("plain", "views", "reading")) > 0


def test_its_record_holds_its_digest(inputs):
    about = json.loads((inputs / "views.json").read_text())
    assert about["sha256"] == hashlib.sha256((inputs / "views.npy").read_bytes()).hexdigest()


def test_two_files_of_one_backbone_and_dataset_are_the_same_bytes(inputs):
    again = extract(inputs, "again", **VIEWS)
    assert Path(again[0]).read_bytes() == (inputs / "views.npy").read_bytes()


@pytest.mark.parametrize("name", ["views", "plain"])
def test_a_probe_on_kept_features_is_the_probe_that_computes_them(inputs, tmp_path, name):
    computed, said = transferred(inputs, None, tmp_path / "computed")
    read, said_too = transferred(inputs, inputs / f"{name}.json", tmp_path / "read")
    assert computed == read
    for one, other in zip(said, said_too, strict=True):
        assert one["images_through_network"] == other["images_through_network"] == 40 + 80 * 3
        assert other["seconds"] > 0


def test_a_label_budget_reads_the_rows_that_it_would_compute(inputs, tmp_path):
    few = {"variant": "labels3", "label_budget": 3}
    computed, said = transferred(inputs, None, tmp_path / "computed", **few)
    read, said_too = transferred(inputs, inputs / "views.json", tmp_path / "read", **few)
    assert computed == read
    assert [each["selected"] for each in said] == [each["selected"] for each in said_too]


def test_the_most_memory_is_that_of_either_job(inputs, tmp_path):
    about = json.loads((inputs / "views.json").read_text())
    assert about["peak_memory_bytes"] > 2**20
    (tmp_path / "f.json").write_text(json.dumps(about | {"peak_memory_bytes": 2**50}))
    (tmp_path / "f.npy").symlink_to(inputs / "views.npy")
    _, said = transferred(inputs, tmp_path / "f.json", tmp_path / "out")
    assert {each["peak_memory_bytes"] for each in said} == {2**50}


def test_a_probe_on_kept_features_looks_at_no_image_and_asks_no_network(
    inputs, tmp_path, monkeypatch
):
    def refuse(*_):
        raise AssertionError("an image went through the network")

    monkeypatch.setattr("robust_transfer.transfer.features.Features.forward", refuse)

    def count(cache, indices, size, threads):
        resized.append(len(indices))
        return squares(cache, indices, size, threads)

    resized = []
    monkeypatch.setattr("robust_transfer.transfer.target.squares", count)
    files, few = inputs / "views.json", {"variant": "labels5", "label_budget": 5}
    for number, changes in enumerate(({}, few)):
        _, said = transferred(inputs, files, tmp_path / str(number), **changes)
        assert all(0 <= each["validation_accuracy"] <= 1 for each in said)
    assert resized == [0, 0]


def test_what_features_took_counts_in_each_transfer_that_reads_them(inputs, tmp_path):
    about = json.loads((inputs / "views.json").read_text())
    about["plain"]["seconds"], about["views"]["seconds"] = 120.0, 320.0  # a second an image
    about["reading"]["seconds"] = 1000.0
    (tmp_path / "slow.json").write_text(json.dumps(about))
    (tmp_path / "slow.npy").symlink_to(inputs / "views.npy")
    slow = tmp_path / "slow.json"
    _, said = transferred(inputs, slow, tmp_path / "all")
    for each in said:
        assert each["seconds"] == pytest.approx(1000 + 120 + 160, abs=10)
    _, said = transferred(inputs, slow, tmp_path / "few", label_budget=2, variant="labels2")
    labelled = said[0]["labelled_images"]
    assert labelled < 80
    assert said[0]["seconds"] == pytest.approx(1000 + 40 + labelled * 3, abs=10)


def test_an_attack_on_the_transferred_model_still_sees_images(inputs, tmp_path):
    attack = {"epsilons": [0.5], "norm": "l2", "attack": "pgd", "attack_steps": 2,
              "relative_step_size": 0.5, "images": 10}  # fmt: skip
    recipe = RECIPE | {"robustness": attack}
    found = [
        transferred(inputs, features, tmp_path / name, recipe)[1][0]["robustness"]
        for name, features in (("computed", None), ("read", inputs / "views.json"))
    ]
    assert found[0] == found[1]
    assert 0 <= found[0][0]["robust_accuracy"] <= 1


def test_features_of_another_dataset_are_refused(inputs, tmp_path):
    write_cache(tmp_path / "cache", n_train=70)
    write_network(tmp_path)
    with pytest.raises(DataError, match=r"images: 120, expected 110. .* delete the file and run"):
        transferred(tmp_path, inputs / "views.json", tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("backbone", "another", "backbone: another, expected a backbone"),
     ("training_images", 79, r"\(440, 16\), expected \(436, 16\)"),
     ("width", 8, r"\(440, 16\), expected \(440, 8\)"),
     ("seeds", [3, 4], r"\[3, 4\], expected 5 among them")],
)  # fmt: skip
def test_features_that_are_not_those_asked_for_are_refused(inputs, tmp_path, key, value, message):
    about = json.loads((inputs / "views.json").read_text()) | {key: value}
    (tmp_path / "f.json").write_text(json.dumps(about))
    (tmp_path / "f.npy").symlink_to(inputs / "views.npy")
    with pytest.raises(DataError, match=message):
        transferred(inputs, tmp_path / "f.json", tmp_path / "out")


def test_features_whose_file_is_cut_short_are_refused(inputs, tmp_path):
    np.save(tmp_path / "f.npy", np.load(inputs / "views.npy")[:-1])
    (tmp_path / "f.json").write_text((inputs / "views.json").read_text())
    with pytest.raises(DataError, match=r"f.npy: \(439, 16\), expected \(440, 16\)"):
        transferred(inputs, tmp_path / "f.json", tmp_path / "out")


def test_the_numbers_of_a_view_are_drawn_once(inputs, monkeypatch):
    backbone, data = network(), target(np.arange(30) % 3)
    source = features.Network(backbone, data, "shift")
    draws = []
    real = source.augment.draw
    source.augment = replace(source.augment, draw=lambda *a: draws.append(a[0]) or real(*a))
    for rows in torch.arange(30).split(10):
        source.of_view(rows, seed=0, view=0)
    assert draws == [30]
    source.of_view(rows, seed=1, view=0)
    assert draws == [30, 30]


def test_features_whose_file_is_gone_are_refused(inputs, tmp_path):
    (tmp_path / "f.json").write_text((inputs / "views.json").read_text())
    with pytest.raises(DataError, match=r"f.npy: no such file. Delete .*f.json and run again"):
        transferred(inputs, tmp_path / "f.json", tmp_path / "out")


def test_views_by_another_augmentation_are_not_taken(inputs, tmp_path):
    recipe = RECIPE | {"augmentation": "shift_flip"}
    computed, _ = transferred(inputs, None, tmp_path / "computed", recipe)
    read, _ = transferred(inputs, inputs / "views.json", tmp_path / "read", recipe)
    assert computed == read


def test_a_full_disk_says_so_and_leaves_no_file(inputs, monkeypatch):
    """The second block finds no room."""

    def in_blocks(*_):
        yield torch.zeros(3, 16)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "in_blocks", in_blocks)
    with pytest.raises(OSError, match="No space left"):
        extract(inputs, "full", **VIEWS)
    assert not list(inputs.glob("*full*")) + list(inputs.glob(".full*"))


def test_a_job_that_is_stopped_leaves_no_file(inputs, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    monkeypatch.setattr(kept.Network, "of_view", stop)
    with pytest.raises(StoppedError):
        extract_features(inputs / "weights.safetensors", inputs / "cache",
                         tmp_path / "f.npy", tmp_path / "f.json", **VIEWS)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def places(changes):
    """Which features the demo keeps with some changes, and of which its probes are many."""
    study = check_config(demo(changes))
    probes = {(c.backbone.name, c.dataset, c.resolution) for c in study.cells if c.mode == "fixed"}
    measured = {(study.measuring_backbone.name, *target) for target in study.targets}
    return kept_features(study), probes, measured


def test_features_are_kept_where_several_jobs_read_them():
    found, probes, measured = places({})
    assert found == dict.fromkeys(measured, False)  # granularity needs no views
    assert measured < probes
    found, probes, _ = places({"transfer.fixed.label_budgets": [5, "all"]})
    assert found == dict.fromkeys(probes, True)
    found, probes, _ = places({"transfer.fixed.keep_features": "always"})
    assert found == dict.fromkeys(probes, True)
    found, _, measured = places({"transfer.modes": ["full"]})
    assert found == dict.fromkeys(measured, False)
