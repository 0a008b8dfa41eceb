"""Each mistake in a config says where it is, what was given and what is allowed."""

import pytest
from config_mistakes import MISTAKES
from config_subjects import demo, entry, message
from robust_transfer.config.check import check_config


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
