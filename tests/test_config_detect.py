"""Section detect: what is right expands, each mistake says where, what, what is allowed."""

import copy
from pathlib import Path

import pytest
import yaml
from robust_transfer.config.check import check_config, what_is_missing
from robust_transfer.config.detect import detector_recipe
from robust_transfer.config.scenes import image_definition
from robust_transfer.errors import ConfigError

ROOT = Path(__file__).parent.parent
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
TOY = {"name": "scenes", "kind": "toy_scenes", "alphabet": "letters", "size": 96, "objects": 3,
       "object_size": [20, 36], "n_train": 20, "n_test": 10, "seed": 7, "grating": 0}  # fmt: skip
FOLDER = {"name": "cells", "kind": "voc_folder", "path": "cells"}
LISTS = {"train": "trainval", "test": "test"}


def study_of(*datasets, pretrain=None, analysis=None, **detect):
    """The demo with scenes."""
    config = copy.deepcopy(DEMO)
    config["detect"] |= {"datasets": list(datasets)} | detect
    config["pretrain"] |= pretrain or {}
    config["analysis"] |= analysis or {}
    return config


def message(*datasets, **changes):
    with pytest.raises(ConfigError) as error:
        check_config(study_of(*datasets, **changes))
    return str(error.value)


def test_a_study_without_scenes_has_no_detectors_and_asks_nothing_of_its_backbones():
    vgg = {"backbones": [{"architecture": "vgg16_bn", "norm": "l2", "epsilon": [0], "seeds": [0]}]}
    assert check_config(study_of(pretrain=vgg)).detectors == ()


def test_every_backbone_meets_every_detector_and_the_control_comes_last():
    detectors = ["faster_rcnn_small", "mask_rcnn_small"]
    study = check_config(study_of(TOY, detectors=detectors, controls=["random_backbone"]))
    assert len(study.detectors) == (5 + 2) * 2
    assert [cell.backbone.source for cell in study.detectors[-4:]] == ["none"] * 4
    assert {cell.detector for cell in study.detectors} == set(detectors)


def test_detectors_alone_are_a_study():
    config = study_of(TOY)
    config["transfer"]["datasets"] = []
    assert check_config(config).cells == ()


def test_a_dataset_may_have_detectors_and_a_budget_of_its_own():
    own = TOY | {"steps": 7, "detectors": ["mask_rcnn"]}
    study = check_config(study_of(own, detectors=["faster_rcnn"]))
    assert {cell.detector for cell in study.detectors} == {"mask_rcnn"}
    scenes = study.scenes("scenes")
    assert detector_recipe(study.settings["detect"], scenes, "mask_rcnn")["recipe"]["steps"] == 7
    assert image_definition(scenes) == image_definition(
        check_config(study_of(TOY)).scenes("scenes")
    )


MISTAKES = {
    "unknown kind": (
        [TOY | {"kind": "toy_scene"}],
        {},
        "config.yaml, detect.datasets[0] (scenes): unknown kind 'toy_scene'. A dataset's kind is "
        "one of toy_scenes, voc, coco, voc_folder, coco_folder. Did you mean 'toy_scenes'?",
    ),
    "sizes the wrong way round": (
        [TOY | {"object_size": [36, 20]}],
        {},
        "config.yaml, detect.datasets[0].object_size (scenes): [36, 20] does not fit. Allowed is "
        "two sizes, the smaller one first (smallest and largest character, pixels).",
    ),
    "unknown detector": (
        [TOY],
        {"detectors": ["mask_rcn"]},
        "config.yaml, detect.detectors[0]: unknown value 'mask_rcn'.\n  Choose one of\n"
        "    faster_rcnn: Faster R-CNN with FPN: boxes in two stages\n"
        "    retinanet: RetinaNet: boxes in one stage\n"
        "    mask_rcnn: Mask R-CNN with FPN: boxes and masks\n"
        "    faster_rcnn_small: Faster R-CNN, narrow, for scenes of about 100 pixels\n"
        "    mask_rcnn_small: Mask R-CNN, narrow, for scenes of about 100 pixels\n"
        "  Did you mean 'mask_rcnn'?",
    ),
    "scenes named as a dataset": (
        [TOY | {"name": "letters"}],
        {},
        "config.yaml, detect.datasets[0]: dataset 'letters' stands already in data.datasets[0]. "
        "Give it its own name.",
    ),
    "a family without stages": (
        [TOY],
        {"pretrain": {"backbones": [
            {"architecture": "vgg16_bn", "norm": "l2", "epsilon": [0], "seeds": [0, 1]}]}},
        "config.yaml, pretrain.backbones[0].architecture: vgg16_bn, where detect.datasets asks for "
        "detectors. A feature pyramid stands on the stages of a ResNet, a wide ResNet or a "
        "ResNeXt: take one of these, or put the others into a study without detectors.",
    ),
    "one detector a cell": (
        [TOY],
        {"seeds": [0], "pretrain": {"backbones": [
            {"architecture": "resnet18", "norm": "l2", "epsilon": [0, 1], "seeds": [0]}]}},
        "config.yaml, detect.seeds: one seed, where analysis.tests asks for welch. A Welch test "
        "needs at least 2 replicates a cell: give at least 2 seeds, or remove welch from "
        "analysis.tests.",
    ),
    "more than five stages": (
        [TOY],
        {"trainable_stages": 6},
        "config.yaml, detect.trainable_stages: 6 is too large. Allowed is at most 5 (stages of the "
        "backbone that are trained, counted from the last).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_gives_its_message_and_no_other(mistake):
    datasets, changes, expected = MISTAKES[mistake]
    assert message(*datasets, **changes) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "neither lists nor a split"),
        ({"train": "trainval"}, "train"),
        (LISTS | {"test_fraction": 0.2, "split_seed": 0}, "train, test, test_fraction, split_seed"),
        ({"test_fraction": 0.2}, "test_fraction"),
    ],
)
def test_a_voc_folder_is_split_in_one_way(tmp_path, given, said):
    config = study_of(FOLDER | given)
    with pytest.raises(ConfigError) as error:
        check_config(config, data_root_must_exist=False)
    assert str(error.value) == (
        f"config.yaml, detect.datasets[0] (cells): {said}. Give either `train` and `test`, lists "
        "of ImageSets/Main, or `test_fraction` and `split_seed`."
    )


def test_masks_are_asked_of_datasets_that_have_them():
    config = study_of(FOLDER | LISTS, detectors=["mask_rcnn"])
    with pytest.raises(ConfigError, match="no masks, which mask_rcnn learns from"):
        check_config(config, data_root_must_exist=False)


def test_a_missing_folder_is_named_and_a_plan_only_says_so(tmp_path):
    config = study_of(FOLDER | LISTS) | {"data_root": str(tmp_path)}
    (tmp_path / "cells" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"no folder {tmp_path}/cells/Annotations"):
        check_config(config)
    assert [line for line in what_is_missing(config) if "cells/Annotations" in line]
    (tmp_path / "cells" / "Annotations").mkdir()
    assert check_config(config).scenes("cells")["train"] == "trainval"
