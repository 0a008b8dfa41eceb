"""The config: what is right passes and expands, each mistake says where, what, what is allowed."""

import contextlib
import copy
import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from robust_transfer.config.architectures import architectures, is_architecture
from robust_transfer.config.check import check_config
from robust_transfer.config.data import DATASET_KINDS
from robust_transfer.config.grid import Backbone, spell_epsilon
from robust_transfer.config.schema import StudyConfig
from robust_transfer.errors import ConfigError, UserError
from robust_transfer.toy_world.alphabets import ALPHABETS

ROOT = Path(__file__).parent.parent
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
REMOVED = object()
KEPT_SPELLINGS = {
    "8/255": 8 / 255,
    "2/3": 2 / 3,
    "5e-4": 5e-4,
    "1 / 4": 0.25,
    "0.5/255": 0.5 / 255,
    "3": 3.0,
}


def demo(changes=None):
    """The demo config with some keys changed: {"transfer.datasets.0.name": value}."""
    config = copy.deepcopy(DEMO)
    for path, value in (changes or {}).items():
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        section = config
        for part in above:
            section = section[part]
        if value is REMOVED:
            del section[last]
        elif isinstance(section, list) and last == len(section):
            section.append(value)
        else:
            section[last] = value
    return config


def message(changes, **options):
    with pytest.raises(ConfigError) as error:
        check_config(demo(changes), **options)
    return str(error.value)


def entry(**changes):
    standard = {"architecture": "resnet_small", "norm": "l2", "epsilon": [0], "seeds": [0]}
    return standard | changes


# Each mistake: what is changed in the demo, the whole message (or its beginning and its end).
MISTAKES = {
    "export without protocol clean": (
        {"report.export": True, "transfer.protocols": ["paper"]},
        "config.yaml, report.export: true, where transfer.protocols has no clean. A model is "
        "chosen on validation and exported by protocol clean: add it, or set export: false.",
    ),
    "unknown key": (
        {"transfer.mode": ["fixed"]},
        "config.yaml, transfer: unknown key 'mode'. This section knows modes, protocols, seeds, "
        "datasets, validation_fraction, fixed, full, from_scratch, paper, controls, robustness. "
        "Did you mean 'modes'?",
    ),
    "unknown section": (
        {"transfers": {}},
        "config.yaml: unknown key 'transfers'. This section knows study, data_root, cache_root, "
        "data, pretrain, transfer, detect, analysis, report, audit. Did you mean 'transfer'?",
    ),
    "key in the wrong section": (
        {"pretrain.momentum": 0.9},
        "config.yaml, pretrain: unknown key 'momentum'. This section knows source, resolution, "
        "image_size, images_on_device_mb, backbones, recipe, evaluation. 'momentum' belongs to "
        "pretrain.recipe or transfer.full or transfer.paper or detect.recipe.",
    ),
    "missing key": (
        {"pretrain.recipe.momentum": REMOVED},
        "config.yaml, pretrain.recipe.momentum: missing. Give it (of SGD).",
    ),
    "missing section": (
        {"report": REMOVED},
        "config.yaml, report: missing. Give it (what the report shows).",
    ),
    "number spelled wrong": (
        {"pretrain.recipe.weight_decay": "small"},
        "config.yaml, pretrain.recipe.weight_decay: 'small' does not fit. Allowed is a number, "
        "such as 0.25, 5e-4 or 8/255 (L2 penalty, as SGD's weight decay).",
    ),
    "division by zero": (
        {"pretrain.recipe.relative_step_size": "2/0"},
        "config.yaml, pretrain.recipe.relative_step_size: '2/0' does not fit. Allowed is a number, "
        "such as 0.25, 5e-4 or 8/255 (step size / epsilon).",
    ),
    "not a number": (
        {"pretrain.recipe.learning_rate": float("nan")},
        "config.yaml, pretrain.recipe.learning_rate: NaN does not fit. Allowed is a number, such "
        "as 0.25, 5e-4 or 8/255 (peak, for one batch of batch_size).",
    ),
    "truth value for a number": (
        {"pretrain.recipe.warmup": True},
        "config.yaml, pretrain.recipe.warmup: true does not fit. Allowed is a number, such as "
        "0.25, 5e-4 or 8/255 (share of the steps in which the learning rate rises).",
    ),
    "number for a truth value": (
        {"pretrain.recipe.random_start": 1},
        "config.yaml, pretrain.recipe.random_start: 1 does not fit. Allowed is true or false "
        "(start each attack at a random point of the ball).",
    ),
    "half a step": (
        {"transfer.full.steps": 2.5},
        "config.yaml, transfer.full.steps: 2.5 does not fit. Allowed is a whole number (optimiser "
        "steps).",
    ),
    "mapping for a list": (
        {"transfer.datasets": {"name": "digits"}},
        'config.yaml, transfer.datasets: {"name": "digits"} does not fit. Allowed is a list (the '
        "targets).",
    ),
    "nothing for a section": (
        {"transfer.full": None},
        "config.yaml, transfer.full: nothing (null) does not fit. Allowed is a mapping of keys to "
        "values (mode full).",
    ),
    "epsilon below 0": (
        {"pretrain.backbones.0.epsilon": [0, -0.25]},
        "config.yaml, pretrain.backbones[0].epsilon[1]: -0.25 is too small. Allowed is at least 0 "
        "(largest attack in training, in pixel units of images in [0, 1]; 0: ordinary training).",
    ),
    "epsilon below 0, as text": (
        {"pretrain.backbones.0.epsilon": "-8/255"},
        "config.yaml, pretrain.backbones[0].epsilon: '-8/255' is too small. Allowed is at least 0 "
        "(largest attack in training, in pixel units of images in [0, 1]; 0: ordinary training).",
    ),
    "share above 1": (
        {"transfer.validation_fraction": 1.5},
        "config.yaml, transfer.validation_fraction: 1.5 is too large. Allowed is less than 1 "
        "(share of the training split that chooses penalty and learning rate).",
    ),
    "unknown mode": (
        {"transfer.modes": ["fixed", "ful"]},
        "config.yaml, transfer.modes[1]: unknown value 'ful'.\n"
        "  Choose one of\n"
        "    fixed: train the new head only\n"
        "    full: train every weight\n"
        "  Did you mean 'full'?",
    ),
    "mode that is no text": (
        {"transfer.modes": [False]},
        "config.yaml, transfer.modes[0]: unknown value false.\n"
        "  Choose one of\n"
        "    fixed: train the new head only\n"
        "    full: train every weight",
    ),
    "unknown protocol": (
        {"transfer.protocols": ["cleen"]},
        "config.yaml, transfer.protocols[0]: unknown value 'cleen'.\n"
        "  Choose one of\n"
        "    clean: selection on a validation split, frozen means frozen\n"
        "    paper: what the published code did: transfer.paper\n"
        "  Did you mean 'clean'?",
    ),
    "unknown norm": (
        {"pretrain.backbones.0.norm": "l_inf"},
        "config.yaml, pretrain.backbones[0].norm: unknown value 'l_inf'.\n"
        "  Choose one of\n"
        "    l2: the Euclidean length of the change of an image\n"
        "    linf: the largest change of a pixel's channel\n"
        "  Did you mean 'linf'?",
    ),
    "unknown architecture": (
        {"pretrain.backbones.1.architecture": "resnet19"},
        "config.yaml, pretrain.backbones[1].architecture: unknown architecture 'resnet19'. Choose "
        "resnet_small, resnet_small_w<width> (such as resnet_small_w32), wide_resnet50_4, or a "
        "classification network of torchvision by its name there, such as resnet18. Did you mean "
        "'resnet18'?",
    ),
    "unknown test": (
        {"analysis.tests": ["welsh"]},
        "config.yaml, analysis.tests[0]: unknown value 'welsh'.\n"
        "  Choose one of\n"
        "    welch: robust against standard backbones, a t-test of unequal variances\n"
        "    pearson: correlation of source accuracy and transfer accuracy\n"
        "  Did you mean 'welch'?",
    ),
    "unknown kind of dataset": (
        {"data.datasets.0.kind": "folders"},
        "config.yaml, data.datasets[0] (letters): unknown kind 'folders'. A dataset's kind is one "
        f"of {', '.join(DATASET_KINDS)}. Did you mean 'folder'?",
    ),
    "dataset without a kind": (
        {"data.datasets.0.kind": REMOVED},
        "config.yaml, data.datasets[0] (letters): no kind. A dataset's kind is one of "
        f"{', '.join(DATASET_KINDS)}.",
    ),
    "unknown key of a dataset": (
        {"data.datasets.1.gratings": 0},
        "config.yaml, data.datasets[1] (digits): unknown key 'gratings'. This section knows name, "
        "kind, metric, alphabet, size, n_train, n_test, seed, grating. Did you mean 'grating'?",
    ),
    "source that is not defined": (
        {"pretrain.source": "leters"},
        "config.yaml, pretrain.source: unknown dataset 'leters'. data.datasets defines letters, "
        "digits, greek, cyrillic, accents, uci_digits. Did you mean 'letters'?",
    ),
    "target that is not defined": (
        {"transfer.datasets.2.name": "cyrilic"},
        "config.yaml, transfer.datasets[2]: unknown dataset 'cyrilic'. data.datasets defines "
        "letters, digits, greek, cyrillic, accents, uci_digits. Did you mean 'cyrillic'?",
    ),
    "duplicate dataset": (
        {"data.datasets.2.name": "digits", "transfer.datasets.1.name": "uci_digits",
         "transfer.datasets.4.name": "letters"},
        "config.yaml, data.datasets[2]: dataset 'digits' stands already in [1]. Give each dataset "
        "its own name.",
    ),
    "duplicate target": (
        {"transfer.datasets.4.name": "digits"},
        "config.yaml, transfer.datasets[4]: dataset 'digits' stands already in [0]. Name each "
        "once; `resolutions` takes several values.",
    ),
    "duplicate backbones": (
        {"pretrain.backbones.1.epsilon": ["3/20"]},
        "config.yaml, pretrain.backbones[1]: duplicate backbone (resnet_small, l2, epsilon 0.15, "
        "seed 0): pretrain.backbones[0] gives it too. Each backbone is trained once: remove it "
        "from one of the two entries.",
    ),
    "backbones of one name": (
        {"pretrain.backbones": [entry(epsilon=[0]), entry(epsilon=["8/255"]),
                                entry(epsilon=[0.0314])]},
        "config.yaml, pretrain.backbones[2]: epsilon 0.0314 and 0.03137254901960784 (of "
        "pretrain.backbones[1]) are the same to three digits, which is how backbones are named. "
        "Keep one of the two, or choose them further apart.",
    ),
    "epsilon twice in one entry": (
        {"pretrain.backbones.0.epsilon": [0, 0.25, "1/4"]},
        "config.yaml, pretrain.backbones[0].epsilon: 0.25 stands twice. Name each element once.",
    ),
    "seed twice": (
        {"transfer.seeds": [0, 1, 1]},
        "config.yaml, transfer.seeds: 1 stands twice. Name each element once.",
    ),
    "one seed for a Welch test": (
        {"transfer.seeds": [0]},
        "config.yaml, transfer.seeds: one seed, where analysis.tests asks for welch. A Welch test "
        "needs at least 2 replicates a cell, and resnet_small, l2, epsilon 0.1 has one pretraining "
        "seed as well. Give transfer.seeds at least 2 seeds, or every entry of "
        "pretrain.backbones, or remove welch from analysis.tests.",
    ),
    "no seed": (
        {"transfer.seeds": []},
        "config.yaml, transfer.seeds: [] is empty. Give at least one (each draws its own "
        "validation split, head and order of images).",
    ),
    "study that is no name": (
        {"study": "my/study"},
        "config.yaml, study: 'my/study' does not fit. Allowed is letters, digits, _ and . only, no "
        "dot in front: a name becomes part of a path (name of the study: results go to "
        "results/<study>/).",
    ),
    "dataset that is a number": (
        {"data.datasets.3.name": 101, "transfer.datasets.2.name": "letters"},
        "config.yaml, data.datasets[3].name (101): 101 does not fit. Allowed is text; quote it if "
        "YAML takes it for something else (what the rest of the config calls it).",
    ),
    "resolution of no pixels": (
        {"transfer.datasets.1.resolutions": ["native", 0]},
        "config.yaml, transfer.datasets[1].resolutions[1] (greek): 0 does not fit. Allowed is "
        "`native`, or pixels a side as a positive whole number (native, or pixels a side).",
    ),
    "resolution named twice": (
        {"transfer.datasets.1.resolutions": [32, "32"]},
        "config.yaml, transfer.datasets[1].resolutions (greek): '32' stands twice. Name each "
        "element once.",
    ),
    "no backbone": (
        {"pretrain.backbones": []},
        "config.yaml, pretrain.backbones: an empty list. Nothing would be measured: give at least "
        "one, or published accuracies in analysis.external_accuracy.",
    ),
    "no target": (
        {"transfer.datasets": []},
        "config.yaml, transfer.datasets: an empty list. Nothing would be measured: give at least "
        "one, or published accuracies in analysis.external_accuracy.",
    ),
    "no attack size": (
        {"pretrain.evaluation.epsilons": []},
        "config.yaml, pretrain.evaluation.epsilons: [] is empty. Give at least one (attack sizes, "
        "in the norm of the backbone).",
    ),
    "images that are neither all nor a number": (
        {"pretrain.evaluation.images": "every"},
        "config.yaml, pretrain.evaluation.images: 'every' does not fit. Allowed is `all`, or a "
        "positive whole number (test images attacked, the first ones; all: every one).",
    ),
    "split without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "folder", "path": "x", "test_fraction": 0.2}},
        "config.yaml, data.datasets[6] (x): test_fraction without split_seed. What is drawn at "
        "random needs a seed.",
    ),
    "test images from a folder and from a split": (
        {"data.datasets.6": {"name": "x", "kind": "folder", "path": "x", "test_fraction": 0.2,
                             "split_seed": 0, "test_folder": "val"}},
        "config.yaml, data.datasets[6] (x): both test_folder and test_fraction. Test images come "
        "either from a folder or from a split: remove one of the two.",
    ),
    "split that a published dataset does not have": (
        {"data.datasets.6": {"name": "x", "kind": "pets", "split": "standard"}},
        "config.yaml, data.datasets[6] (x): split 'standard' of pets. It has one split: paper.",
    ),
    "published split that is drawn, without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "caltech101", "split": "standard"}},
        "config.yaml, data.datasets[6] (x): images drawn without split_seed. What is drawn at "
        "random needs a seed.",
    ),
    "seed of a split that is fixed": (
        {"data.datasets.6": {"name": "x", "kind": "pets", "split_seed": 0}},
        "config.yaml, data.datasets[6] (x): split_seed without anything to draw. The paper split "
        "of pets is fixed: remove it, or say what is drawn.",
    ),
    "partition of a dataset that has none": (
        {"data.datasets.6": {"name": "x", "kind": "food", "partition": 2}},
        "config.yaml, data.datasets[6] (x): partition of food. Only dtd and sun397 have "
        "partitions.",
    ),
    "download to a place of one's own": (
        {"data.datasets.6": {"name": "x", "kind": "food", "path": "f", "download": True}},
        "config.yaml, data.datasets[6] (x): both path and download. A download goes to its own "
        "folder: remove path.",
    ),
    "table split without a seed": (
        {"data.datasets.6": {"name": "x", "kind": "csv", "path": "x.csv", "test_fraction": 0.2}},
        "config.yaml, data.datasets[6] (x): test_fraction without split_seed. What is drawn at "
        "random needs a seed.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_gives_its_message_and_no_other(mistake):
    changes, expected = MISTAKES[mistake]
    assert message(changes) == expected


def test_the_demo_study_passes():
    study = check_config(demo())
    assert study.name == "demo"
    assert len(study.backbones) == 5
    assert len(study.cells) == 5 * 7 * 2
    assert study.transfer_seeds == [0, 1, 2]


def test_every_mistake_of_a_config_is_told_at_once_each_on_its_line():
    text = message(
        {
            "study": "a b",
            "pretrain.backbones.0.epsilon": [-1],
            "pretrain.backbones.1.epsilon": ["high"],
            "pretrain.recipe.epoch": 3,
            "transfer.datasets.0.name": "digit",
            "analysis.external_accuracy": ["nowhere.csv"],
        },
        where="config.yaml + studies/mine.yaml",
    )
    lines = text.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("config.yaml + studies/mine.yaml, ") for line in lines)


def test_duplicate_backbones_of_two_entries_are_told_once_a_pair():
    changes = {"pretrain.backbones": [entry(seeds=[0, 1, 2]), entry(seeds=[0, 1, 2])]}
    assert message(changes).count("duplicate backbone") == 1


def test_the_standard_backbone_may_stand_under_both_norms():
    changes = {"pretrain.backbones": [entry(norm="l2"), entry(norm="linf")]}
    names = [backbone.name for backbone in check_config(demo(changes)).backbones]
    assert names == ["resnet_small-letters-l2-eps0-seed0", "resnet_small-letters-linf-eps0-seed0"]


def test_one_transfer_seed_is_enough_where_every_backbone_has_two_pretraining_seeds():
    backbones = [entry(epsilon=[0, 0.5], seeds=[0, 1])]
    check_config(demo({"transfer.seeds": [0], "pretrain.backbones": backbones}))


def test_one_seed_is_enough_without_a_welch_test():
    check_config(demo({"transfer.seeds": [0], "analysis.tests": ["pearson"]}))


def test_a_study_of_published_accuracies_needs_neither_backbone_nor_target(tmp_path):
    table = tmp_path / "published.csv"
    table.touch()
    changes = {"pretrain.backbones": [], "transfer.datasets": [], "transfer.seeds": [0],
               "analysis.external_accuracy": [str(table)]}  # fmt: skip
    study = check_config(demo(changes))
    assert study.backbones == study.cells == study.caches == ()


def test_a_missing_external_file_says_which_path_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = message({"analysis.external_accuracy": ["tables/fixed.csv"]})
    assert text == (
        "config.yaml, analysis.external_accuracy[0]: no file 'tables/fixed.csv'. Looked for "
        f"{tmp_path}/tables/fixed.csv. Correct the path; it counts from the folder that the study "
        "is started in."
    )


def folder_study(root, path, **options):
    folder = {"name": "photos", "kind": "folder", "path": path, **options}
    return {"data_root": str(root), "data.datasets.6": folder,
            "transfer.datasets.5": {"name": "photos", "resolutions": [32]}}  # fmt: skip


def test_a_missing_image_folder_says_which_path_was_looked_for_and_what_is_near(tmp_path):
    (tmp_path / "flowers").mkdir()
    text = message(folder_study(tmp_path, "flower/jpg"))
    assert text == (
        f"config.yaml, data.datasets[6].path (photos): no folder 'flower/jpg' below data_root "
        f"'{tmp_path}'. Looked for {tmp_path}/flower/jpg; {tmp_path} exists but holds no 'flower'. "
        "Put the images there, or set data_root (in the config, or by --config on the command "
        "line) to the folder that holds them. Did you mean 'flowers'?"
    )


def published_study(root, **keys):
    definition = {"name": "cars_196", "kind": "cars", **keys}
    return {"data_root": str(root), "data.datasets.6": definition,
            "transfer.datasets.5": {"name": "cars_196", "resolutions": [32]}}  # fmt: skip


def test_a_published_dataset_that_is_not_there_is_told_with_how_to_get_it(tmp_path):
    text = message(published_study(tmp_path))
    assert f"no folder {tmp_path}/stanford_cars" in text
    assert "Kaggle" in text
    assert "cars_test_annos_withlabels.mat" in text


def test_a_download_that_no_longer_exists_is_refused_before_any_job(tmp_path):
    text = message(published_study(tmp_path, download=True))
    assert "data.datasets[6] (cars_196).download: nothing can be downloaded" in text


def test_a_dataset_that_will_be_fetched_need_not_be_there_and_has_the_metric_of_the_paper(tmp_path):
    study = check_config(demo(published_study(tmp_path, kind="pets", download=True)))
    assert study.dataset("cars_196")["metric"] == "mean_per_class"
    there = check_config(demo(published_study(tmp_path, kind="pets")), data_root_must_exist=False)
    assert study.image_definition("cars_196") == there.image_definition("cars_196")


def test_an_image_folder_that_exists_passes(tmp_path):
    (tmp_path / "photos").mkdir()
    study = check_config(demo(folder_study(tmp_path, "photos", max_train=100, split_seed=0)))
    assert study.dataset("photos")["max_train"] == 100


def test_the_folder_of_a_dataset_that_the_study_does_not_use_is_not_asked_for(tmp_path):
    changes = folder_study(tmp_path, "nowhere")
    del changes["transfer.datasets.5"]
    check_config(demo(changes))


def test_no_folder_is_asked_for_when_data_root_need_not_exist(tmp_path):
    check_config(demo(folder_study(tmp_path, "nowhere")), data_root_must_exist=False)


@pytest.mark.parametrize("spelling", KEPT_SPELLINGS)
def test_numbers_may_be_spelled_as_text(spelling):
    study = check_config(demo({"pretrain.recipe.relative_step_size": spelling}))
    assert study.settings["pretrain"]["recipe"]["relative_step_size"] == KEPT_SPELLINGS[spelling]


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_fraction_as_text_is_the_float_nearest_to_it(above, below):
    changes = {"pretrain.recipe.weight_decay": f"{above}/{below}"}
    read = check_config(demo(changes)).settings["pretrain"]["recipe"]["weight_decay"]
    assert read == float(Fraction(above, below))


def test_two_spellings_of_a_number_give_the_same_settings():
    as_text = {"pretrain.recipe.weight_decay": "5e-4", "pretrain.recipe.epochs": "9",
               "transfer.datasets.1.resolutions": ["native", "32"]}  # fmt: skip
    assert check_config(demo(as_text)).settings == check_config(demo()).settings


def test_settings_hold_nothing_but_what_json_holds():
    settings = check_config(demo()).settings
    assert json.loads(json.dumps(settings)) == settings


def test_one_value_may_stand_for_a_list_of_one():
    lone = {"architecture": "resnet_small", "norm": "l2", "epsilon": "1/4", "seeds": 3}
    (backbone,) = check_config(demo({"pretrain.backbones": [lone]})).backbones
    assert backbone == Backbone("resnet_small", "letters", "l2", 0.25, 3)


def test_an_entry_with_lists_gives_every_combination():
    lists = {"architecture": ["resnet18", "resnet_small_w32"], "norm": ["l2", "linf"],
             "epsilon": [0, "8/255"], "seeds": [0, 1, 2]}  # fmt: skip
    names = [b.name for b in check_config(demo({"pretrain.backbones": [lists]})).backbones]
    assert len(set(names)) == 2 * 2 * 2 * 3
    assert "resnet_small_w32-letters-linf-eps0.0314-seed2" in names


@pytest.mark.parametrize(
    ("epsilon", "spelled"),
    [(0.0, "0"), (0.25, "0.25"), (1.0, "1"), (8 / 255, "0.0314"), (0.5 / 255, "0.00196")],
)
def test_epsilon_is_spelled_with_three_digits(epsilon, spelled):
    assert spell_epsilon(epsilon) == spelled


def test_caches_are_named_once_and_the_source_comes_first():
    caches = check_config(demo()).caches
    assert caches[0] == ("letters", "native")
    assert len(caches) == len(set(caches)) == 8


def test_how_a_dataset_is_scored_does_not_decide_its_images():
    plain = check_config(demo())
    scored = check_config(demo({"data.datasets.1.metric": "mean_per_class"}))
    assert plain.dataset("digits") != scored.dataset("digits")
    assert plain.image_definition("digits") == scored.image_definition("digits")


def test_asking_a_study_for_what_it_has_not_names_the_nearest():
    study = check_config(demo())
    with pytest.raises(ConfigError, match=r"no dataset 'greeks'\..*Did you mean 'greek'"):
        study.dataset("greeks")
    with pytest.raises(ConfigError, match=r"no backbone.*eps0\.3-.*Did you mean"):
        study.backbone("resnet_small-letters-l2-eps0.3-seed0")


def test_the_grid_of_the_paper_is_checked_and_expanded_within_a_third_of_a_second():
    datasets = [{**DEMO["data"]["datasets"][0], "name": f"set{n}"} for n in range(12)]
    targets = [{"name": f"set{n}", "resolutions": ["native", 32]} for n in range(12)]
    epsilons = [0, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 3, 5]
    entries = {"architecture": ["resnet18", "resnet50", "vgg16_bn", "wide_resnet50_4"],
               "norm": "l2", "epsilon": epsilons, "seeds": [0, 1, 2]}  # fmt: skip
    config = demo({"data.datasets": datasets, "pretrain.source": "set0",
                   "pretrain.backbones": [entries], "transfer.datasets": targets})  # fmt: skip
    start = time.perf_counter()
    study = check_config(config)
    assert time.perf_counter() - start < 0.3
    assert len(study.cells) == 12 * 2 * 4 * 10 * 2 * 3


paths = st.sampled_from(
    ["study", "data", "data.datasets", "data.datasets.0", "data.datasets.0.name",
     "data.datasets.5.kind", "pretrain.source", "pretrain.backbones", "pretrain.backbones.0",
     "pretrain.backbones.1.epsilon", "pretrain.recipe", "pretrain.recipe.epochs", "transfer",
     "transfer.seeds", "transfer.datasets", "transfer.datasets.1.resolutions", "analysis",
     "analysis.tests", "analysis.external_accuracy", "report"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(paths, values)
def test_whatever_stands_in_a_config_nothing_but_a_config_error_is_raised(path, value):
    with contextlib.suppress(ConfigError):
        check_config(demo({path: value}))


@pytest.mark.parametrize("config", [None, [], "study: demo", {}])
def test_a_config_that_is_no_study_at_all_is_a_clear_error(config):
    with pytest.raises(UserError, match=r"config\.yaml"):
        check_config(config)


def test_every_key_has_a_description():
    def undescribed(section, path):
        if section.get("type") == "object":
            for name, field in section["properties"].items():
                if not field.get("description"):
                    yield f"{path}.{name}"

    schema = StudyConfig.model_json_schema()
    sections = {"": schema} | schema["$defs"]
    assert [name for path, each in sections.items() for name in undescribed(each, path)] == []


def test_the_alphabets_of_the_config_are_those_of_the_toy_world():
    for alphabet in ALPHABETS:
        check_config(demo({"data.datasets.0.alphabet": alphabet}))
    assert all(name in message({"data.datasets.0.alphabet": "latin"}) for name in ALPHABETS)


def test_architectures_are_listed_as_torchvision_lists_them():
    """In a process of its own: the list must not need torch."""
    program = (
        "import sys; from robust_transfer.config.architectures import torchvision_architectures;"
        "found = torchvision_architectures(); assert 'torch' not in sys.modules;"
        "from torchvision import models;"
        "assert list(found) == sorted(models.list_models(module=models)), found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120,
                   env={"PYTHONPATH": str(ROOT / "workflow_scripts")})  # fmt: skip


def test_checking_a_config_loads_no_heavy_library():
    program = (
        "import sys; import robust_transfer.config.check;"
        "assert not {'torch', 'torchvision', 'numpy', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60,
                   env={"PYTHONPATH": str(ROOT / "workflow_scripts")})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "known"),
    [("resnet_small", True), ("resnet_small_w8", True), ("resnet_small_w0", False),
     ("resnet_smallest", False), ("wide_resnet50_4", True), ("resnet50", True), ("ResNet", False),
     ("../resnet18", False)],
)  # fmt: skip
def test_an_architecture_is_known_by_its_exact_name(name, known):
    assert is_architecture(name) == known
    assert not known or name in architectures() or name.startswith("resnet_small_w")
