"""Splits: disjoint, covering, stratified, and a class never loses its last image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.images.splits import attacked_rows, draw_stratified, split_validation

LABELS = st.lists(st.integers(0, 7), min_size=1, max_size=120).map(np.array)
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=200)
@given(LABELS, st.floats(0, 0.99), SEEDS)
def test_a_split_is_disjoint_covers_all_and_keeps_every_class_in_train(labels, fraction, seed):
    train, held_out = split_validation(labels, fraction=fraction, seed=seed)
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    assert set(labels[train]) == set(labels)


@settings(deadline=None, max_examples=200)
@given(LABELS, st.floats(0, 0.99), SEEDS)
def test_every_class_gives_its_share_to_within_one_image(labels, fraction, seed):
    _, held_out = split_validation(labels, fraction=fraction, seed=seed)
    for label in set(labels.tolist()):
        size = (labels == label).sum()
        given_up = (labels[held_out] == label).sum()
        share = min(fraction * size, size - 1)
        assert abs(given_up - share) < 1 + 1e-6 or (given_up == 1 and len(held_out) == 1)


@settings(deadline=None, max_examples=100)
@given(LABELS, st.integers(1, 150), SEEDS)
def test_a_stratified_draw_has_its_size_no_repeats_and_the_classes(labels, at_most, seed):
    drawn = draw_stratified(labels, at_most=at_most, seed=seed)
    assert len(drawn) == min(at_most, len(labels))
    assert len(set(drawn.tolist())) == len(drawn)
    if at_most >= len(set(labels.tolist())):
        assert set(labels[drawn]) == set(labels)


@settings(deadline=None, max_examples=50)
@given(LABELS, st.floats(0.01, 0.99), SEEDS)
def test_the_same_seed_splits_the_same_way(labels, fraction, seed):
    first = split_validation(labels, fraction=fraction, seed=seed)
    second = split_validation(labels, fraction=fraction, seed=seed)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shares_add_up_to_the_fraction_of_all():
    """Classes of 7, a fraction of 0.1: rounding each class alone would hold out 10, not 7."""
    _, held_out = split_validation(np.repeat(np.arange(10), 7), fraction=0.1, seed=0)
    assert len(held_out) == 7


def test_another_seed_holds_out_other_images():
    labels = np.repeat(np.arange(4), 50)
    first = split_validation(labels, fraction=0.2, seed=0)[1]
    second = split_validation(labels, fraction=0.2, seed=1)[1]
    assert not np.array_equal(first, second)


def test_a_class_with_a_single_image_goes_to_training():
    train, held_out = split_validation(np.array([0, 0, 0, 0, 1]), fraction=0.5, seed=0)
    assert 4 in train
    assert len(held_out) == 2


def test_classes_of_one_image_each_leave_nothing_to_hold_out():
    train, held_out = split_validation(np.arange(5), fraction=0.5, seed=0)
    assert len(train) == 5
    assert held_out.shape == (0,)


def test_a_small_fraction_of_a_small_set_still_holds_something_out():
    assert len(split_validation(np.array([0, 0, 1, 1]), fraction=0.01, seed=0)[1]) == 1


def test_a_fraction_of_zero_holds_nothing_out():
    assert len(split_validation(np.zeros(10, int), fraction=0, seed=0)[1]) == 0


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_a_fraction_that_is_no_share_is_refused(fraction):
    with pytest.raises(ValueError, match="share"):
        split_validation(np.zeros(4, int), fraction=fraction, seed=0)


def test_every_image_of_a_class_is_as_likely_to_be_held_out():
    """200 seeds, 10 images, 3 held out: each is drawn 60 times, give or take 6.5."""
    labels = np.zeros(10, int)
    drawn = [split_validation(labels, fraction=0.3, seed=seed)[1] for seed in range(200)]
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert counts.min() > 60 - 5 * 6.5
    assert counts.max() < 60 + 5 * 6.5


def test_attacked_images_are_of_all_classes_where_a_split_is_sorted_by_class():
    labels = np.repeat(np.arange(5), 200)
    rows = attacked_rows(labels, 500)
    assert np.bincount(labels[rows]).tolist() == [100] * 5
    assert np.array_equal(rows, attacked_rows(labels, 500))
    assert attacked_rows(labels, "all").tolist() == list(range(1000))
    assert attacked_rows(labels, 5000).tolist() == list(range(1000))
