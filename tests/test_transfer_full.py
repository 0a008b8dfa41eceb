"""Full-network transfer: what is trained, what stays, what chooses; and a whole cell on disk."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.backbones.untrained import initialise_backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.images.splits import attacked_rows
from robust_transfer.transfer.blocks import parts_below, train_last_blocks
from robust_transfer.transfer.full import Finetuning
from robust_transfer.transfer.predictions import load_predictions
from transfer_subjects import (
    FIXED,
    FULL,
    cell,
    network,
    run_cell,
    target,
    write_cache,
    write_network,
)

LABELS = np.arange(60) % 3


def finetuning(folder, data=None, backbone=None, recipe=FULL, **changes):
    return Finetuning(backbone or network(), data or target(LABELS), recipe,
                      output=folder / "predictions.npz", question="test", **changes)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    write_cache(folder / "cache")
    write_network(folder)
    return folder


def test_all_weights_move_and_the_given_backbone_stays(tmp_path):
    backbone = network()
    before = copy.deepcopy(backbone.state_dict())
    tuned = finetuning(tmp_path, backbone=backbone).seed(0).model().state_dict()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name])
        if value.is_floating_point() and not name.startswith("head"):
            assert not torch.equal(tuned[name], value), name


@pytest.mark.parametrize(
    ("count", "moving"), [(1, {"stage3"}), (2, {"stage2", "stage3"}),
                          (3, {"stage1", "stage2", "stage3"})],
)  # fmt: skip
def test_only_the_last_blocks_move_and_frozen_batchnorm_keeps_its_statistics(
    tmp_path, count, moving
):
    backbone = network()
    tuned = finetuning(tmp_path, backbone=backbone, trainable_blocks=count).seed(0).model()
    before = backbone.state_dict()
    moved = {name.split(".")[1] for name, value in tuned.state_dict().items()
             if name.startswith("body") and not torch.equal(value, before[name])}  # fmt: skip
    assert moved == moving


def test_more_blocks_than_there_are_is_refused_with_the_number(tmp_path):
    with pytest.raises(ConfigError, match="4 is too large: this network has 3 blocks"):
        finetuning(tmp_path, trainable_blocks=4).seed(0)


@pytest.mark.parametrize(
    ("architecture", "blocks", "below_last"),
    [("resnet18", 8, "layer4.0"), ("vgg11_bn", 10, "classifier.2"), ("mobilenet_v2", 17, None),
     ("densenet121", 4, None)],
)  # fmt: skip
def test_blocks_of_torchvision_networks_are_their_building_blocks(architecture, blocks, below_last):
    backbone = network(architecture, image_size=64)
    train_last_blocks(backbone, blocks)
    with pytest.raises(ConfigError, match=f"this network has {blocks} blocks"):
        parts_below(backbone, blocks + 1)
    if below_last:
        assert parts_below(backbone, 1)[-1] is backbone.body.get_submodule(below_last)


def test_the_labels_of_test_images_change_nothing(tmp_path):
    data, other = target(LABELS), target(LABELS)
    other.labels[other.n_train :] = 0
    one = finetuning(tmp_path / "a", data).seed(0)
    two = finetuning(tmp_path / "b", other).seed(0)
    assert torch.equal(one.logits, two.logits)


def test_the_learning_rate_with_the_best_validation_accuracy_is_taken(tmp_path):
    tried = {}
    for rate in FULL["learning_rates"]:
        recipe = FULL | {"learning_rates": [rate]}
        tried[rate] = finetuning(tmp_path / str(rate), recipe=recipe).seed(0)
    both = finetuning(tmp_path / "both").seed(0)
    best = max(tried, key=lambda rate: tried[rate].validation_accuracy)
    assert both.selected == f"learning_rate={best:g}"
    assert torch.equal(both.logits, tried[best].logits)


def test_a_dataset_smaller_than_a_batch_is_one_batch(tmp_path):
    outcome = finetuning(tmp_path, target([0, 1] * 4), recipe=FULL | {"batch_size": 512}).seed(0)
    assert torch.isfinite(outcome.logits).all()
    runs, train, held_out, looks = 2, 6, 2, 6
    assert outcome.images_through_network == runs * (6 * train + looks * held_out) + 10


def test_a_head_of_another_size_is_replaced(tmp_path):
    for classes in (2, 3, 11):
        outcome = finetuning(tmp_path / str(classes), backbone=network(classes=classes)).seed(0)
        assert outcome.logits.shape == (10, 3)


# A cell, from files to files


@pytest.mark.parametrize(("mode", "recipe"), [("fixed", FIXED), ("full", FULL)])
def test_a_cell_twice_gives_the_same_bytes_and_leaves_no_state(files, tmp_path, mode, recipe):
    what = cell(mode=mode)
    names = [f"{mode}{k}" for k in range(2)]
    (one, _), (two, _) = (run_cell(files, name, recipe, what, seeds=(0, 1)) for name in names)
    for first, second in zip(one, two, strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()
    assert not list(files.rglob(".*safetensors"))


def test_the_record_says_what_it_is_of_what_chose_and_what_it_cost(files):
    _, (said,) = run_cell(files, "record", FULL, cell(mode="full"))
    assert {key: said[key] for key in cell()} == cell(mode="full")
    assert (said["backbone"], said["source"], said["epsilon"]) == ("a backbone", "letters", 0.25)
    assert (said["selected_on"], said["labelled_images"], said["held_out_images"]) == (
        "validation", 80, 16)  # fmt: skip
    assert said["seconds"] > 0
    assert said["peak_memory_bytes"] > 1e6
    assert said["device"] == "cpu"
    assert said["images_through_network"] == 2 * (6 * 16 + 6 * 16) + 40
    assert "robustness" not in said


def test_predictions_are_of_every_test_image_once(files):
    (path,), _ = run_cell(files, "predictions", FIXED, cell())
    predictions = load_predictions(path)
    assert predictions.index.tolist() == list(range(80, 120))
    assert predictions.logits.shape == (40, 10)


@pytest.mark.parametrize(
    ("mode", "recipe", "name"), [("fixed", FIXED, "pgd"), ("full", FULL, "pgd"),
                                 ("fixed", FIXED, "apgd")],
)  # fmt: skip
def test_robustness_after_transfer_is_that_of_the_transferred_model(files, mode, recipe, name):
    attack = {"epsilons": [2.0, 1e-6], "norm": "l2", "attack": name, "attack_steps": 3,
              "relative_step_size": 0.5,
              "images": 30}  # fmt: skip
    (path,), (said,) = run_cell(files, f"robust{mode}{name}", recipe | {"robustness": attack},
                                cell(mode=mode))  # fmt: skip
    tiny, large = said["robustness"]
    assert (tiny["attack_epsilon"], large["attack_epsilon"]) == (1e-6, 2.0)
    assert (large["attack"], large["attack_steps"]) == (name, 3)
    predictions = load_predictions(path)
    rows = attacked_rows(predictions.labels, 30)
    clean = (predictions.predicted == predictions.labels)[rows].mean()
    # An attack of a millionth changes nothing: then it is the accuracy of the predictions.
    assert tiny["robust_accuracy"] == pytest.approx(clean, abs=1e-6)
    assert large["robust_accuracy"] < clean
    assert large["attacked_images"] == 30


def test_a_large_attack_leaves_little_as_measured_directly(tmp_path):
    data = target(LABELS)
    outcome = finetuning(tmp_path, data, recipe=FULL | {"steps": 30}).seed(0)
    right = accuracy_under_attack(outcome.model(), data.test, data.labels[60:], norm="l2",
                                  epsilon=20.0, step_size=5.0, steps=10)  # fmt: skip
    clean = (outcome.logits.argmax(1) == data.labels[60:]).float().mean()
    assert right.float().mean() < clean


# Bad data


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"n_test": 0}, "no test images"), ({"n_train": 0}, "no training images")],
)
def test_an_empty_split_is_refused_with_the_folder_named(files, tmp_path, changes, words):
    cache = write_cache(tmp_path / "cache")
    manifest = json.loads((cache / "manifest.json").read_text())
    both = manifest["n_train"] + manifest["n_test"]
    empty, full = ("n_test", "n_train") if "n_test" in changes else ("n_train", "n_test")
    (cache / "manifest.json").write_text(json.dumps(manifest | {empty: 0, full: both}))
    write_network(tmp_path)
    with pytest.raises(DataError, match=words):
        run_cell(tmp_path, "x", FIXED, cell())


# Controls


def test_a_control_is_the_same_for_a_seed_and_other_for_another(tmp_path):
    states = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        outputs = {key: str(tmp_path / name / key) for key in ("weights", "record", "cost")}
        about = {"name": "net", "architecture": "resnet_small_w4", "source": "none", "norm": "l2",
                 "epsilon": 0.0, "seed": seed}  # fmt: skip
        initialise_backbone(about, image_size=32, outputs=outputs)
        states[name] = (tmp_path / name / "weights").read_bytes()
        record = json.loads((tmp_path / name / "record").read_text())
        assert record["source_accuracy"] is None
        assert load_backbone(outputs["weights"])[1]["kept"] == "initial"
    assert states["a"] == states["b"]
    assert states["a"] != states["c"]
