"""Label budgets: nested, seeded, a class each; the split that chooses lies inside them."""

import numpy as np
import pytest
import torch
from config_subjects import demo
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.config.check import check_config
from robust_transfer.config.shorthand import expand_shorthand
from robust_transfer.errors import ConfigError
from robust_transfer.images.splits import draw_per_class
from robust_transfer.transfer.cell import _notes
from robust_transfer.transfer.full import Finetuning
from transfer_subjects import (
    FIXED,
    FULL,
    cell,
    network,
    probed,
    run_cell,
    target,
    write_cache,
    write_network,
)

LABELS = np.repeat([0, 1, 2], [30, 12, 4])
SOME_LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(np.array)


@given(SOME_LABELS, st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_budgets_are_nested_and_take_so_many_of_each_class(labels, few, more, seed):
    few, more = sorted((few, more))
    small, large = (draw_per_class(labels, per_class=n, seed=seed) for n in (few, more))
    assert set(small) <= set(large)
    counts = np.bincount(labels, minlength=5)
    assert np.bincount(labels[small], minlength=5).tolist() == np.minimum(counts, few).tolist()
    assert sorted(set(small)) == small.tolist()


def test_seeds_draw_other_images():
    drawn = {tuple(draw_per_class(LABELS, per_class=4, seed=seed)) for seed in range(5)}
    assert len(drawn) == 5


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(0, 100), st.floats(0.05, 0.6))
def test_the_validation_split_lies_inside_the_budget(budget, seed, fraction):
    data = target(LABELS, n_test=3, size=2, label_budget=budget)
    split = data.split(fraction, seed)
    expected = draw_per_class(LABELS, per_class=budget, seed=seed)
    assert split.labelled.tolist() == expected.tolist()
    assert not set(split.train.tolist()) & set(split.held_out.tolist())
    assert set(LABELS[split.train]) == {0, 1, 2}  # every class is trained on
    assert (len(split.held_out) == 0) == (budget == 1)


def test_images_outside_the_budget_are_not_looked_at():
    """Whatever they show and whatever their labels are, the outcome is the same."""
    data = target(LABELS, label_budget=3)
    kept = draw_per_class(LABELS, per_class=3, seed=0)
    outside = np.setdiff1d(np.arange(len(LABELS)), kept)
    other = target(LABELS, label_budget=3)
    other.images[outside] = 255 - other.images[outside]
    one, two = (probed(network(), each, FIXED, 0) for each in (data, other))
    assert torch.equal(one.logits, two.logits)


def test_with_one_label_a_class_nothing_is_chosen_and_the_record_says_so():
    data = target(LABELS, label_budget=1)
    outcome = probed(network(), data, FIXED, 0)
    assert (outcome.selected, outcome.selected_on) == ("penalty=0.01", "none")
    assert outcome.validation_accuracy is None
    assert any("nothing held out" in note for note in _notes(data, outcome))


def test_with_one_label_a_class_fine_tuning_takes_the_middle_rate_and_the_last_weights(tmp_path):
    data = target(LABELS, label_budget=1)
    recipe = FULL | {"learning_rates": [0.1, 0.001, 0.01]}
    outcome = Finetuning(network(), data, recipe, output=tmp_path / "p", question="q").seed(0)
    assert (outcome.selected, outcome.selected_on) == ("learning_rate=0.01", "none")
    assert outcome.images_through_network == 6 * 3 + 10


def test_a_class_with_a_single_image_is_trained_on_and_told_of():
    data = target(np.repeat([0, 1, 2], [20, 20, 1]))
    split = data.split(0.2, 0)
    assert 40 in split.train
    assert 40 not in split.held_out
    notes = _notes(data, probed(network(), data, FIXED, 0))
    assert notes == ["1 classes have a single image: trained on, not held out"]


def test_a_class_without_training_images_is_told_of():
    data = target(np.repeat([0, 1], 20), classes=3)
    notes = _notes(data, probed(network(), data, FIXED, 0))
    assert notes == ["1 classes have no training image"]


def test_a_cell_with_few_labels_says_how_many_it_had(tmp_path):
    write_cache(tmp_path / "cache")
    write_network(tmp_path)
    what = cell(variant="labels3", label_budget=3)
    _, (said,) = run_cell(tmp_path, "x", FIXED, what)
    assert (said["label_budget"], said["variant"]) == (3, "labels3")
    assert said["labelled_images"] == 30
    assert said["images_through_network"] == 40 + 2 * 30


# The grid of a study


def test_variants_stand_beside_the_main_cells_and_are_none_of_them():
    study = check_config(demo({
        "transfer.fixed.label_budgets": [5, 1, "all"],
        "transfer.full.trainable_blocks": ["all", 2],
        "transfer.controls": ["random_features", "from_scratch"],
    }))  # fmt: skip
    main = [one for one in study.cells if one.variant == "all" and one.backbone.source != "none"]
    assert len(main) == 5 * 7 * 2
    rest = {(one.mode, one.variant) for one in study.cells if one not in main}
    assert rest == {
        ("fixed", "labels5"),
        ("fixed", "labels1"),
        ("full", "blocks2"),
        ("fixed", "all"),
        ("full", "all"),
    }  # the last two are the controls
    untrained = {one.backbone.name for one in study.cells if one.backbone.source == "none"}
    assert untrained == {"resnet_small-none-l2-eps0-seed0", "resnet_small-none-l2-eps0-seed1"}
    assert {one.name for one in study.controls} == untrained
    assert not {one.name for one in study.backbones} & untrained


def test_a_study_without_controls_has_none():
    assert check_config(demo()).controls == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transfer.fixed.label_budgets": [5]}, "label_budgets: [5] does not fit. Allowed is a "
         "list that holds `all` too: the statistics are made of those transfers"),
        ({"transfer.fixed.label_budgets": [0, "all"]}, "label_budgets[0]: 0 does not fit. Allowed "
         "is `all`, or a positive whole number"),
        ({"transfer.full.trainable_blocks": ["al"]}, "trainable_blocks[0]: 'al' does not fit."),
        ({"transfer.controls": ["random"]}, "unknown value 'random'.\n  Choose one of\n    "
         "random_features: a probe on features of a network that was never trained"),
        ({"transfer.paper.select_on": "tests"}, "Did you mean 'test'?"),
        ({"transfer.robustness.epsilons": [0]}, "0 is too small. Allowed is more than 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_job(changes, words):
    with pytest.raises(ConfigError) as refused:
        check_config(demo(changes))
    assert words in str(refused.value)


def test_controls_of_a_finished_study_are_no_backbones_to_take_over(tmp_path):
    for kind, source in (("pretrain", "letters"), ("controls", "none")):
        (tmp_path / kind / "x").mkdir(parents=True)
        write_network(tmp_path / kind / "x", source=source)
    taken = expand_shorthand({"backbones": str(tmp_path)})["pretrain"]
    assert taken["source"] == "letters"
    assert len(taken["backbones"]) == 1
