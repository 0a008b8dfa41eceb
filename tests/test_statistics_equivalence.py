"""Equivalence equals statsmodels', and intervals those of SciPy and statsmodels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.statistics.equivalence import (
    equivalence,
    equivalence_table,
    placebo_rate,
    replicates_for,
)
from robust_transfer.statistics.intervals import mean_interval, share_interval
from robust_transfer.statistics.tables import ACCURACY, make_table
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_ind

samples = st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-4)
CLOSE = {"rel": 1e-9, "abs": 1e-9}


@settings(max_examples=40, deadline=None)
@given(samples, samples, st.floats(0.001, 0.5))
def test_equivalence_equals_statsmodels(robust, standard, bound):
    found = equivalence(np.array(robust), np.array(standard), bound=bound, level=0.05)
    oracle = ttost_ind(np.array(robust), np.array(standard), -bound, bound, usevar="unequal")
    assert found.p_value == pytest.approx(oracle[0], **CLOSE)


@settings(max_examples=40, deadline=None)
@given(samples, samples, st.floats(0.001, 0.5))
def test_samples_are_equivalent_exactly_when_the_interval_lies_within_the_bounds(a, b, bound):
    found = equivalence(np.array(a), np.array(b), bound=bound, level=0.05)
    inside = -bound < found.ci_low and found.ci_high < bound
    assert (found.p_value < 0.05) == inside == (found.detectable_bound < bound)


@pytest.mark.parametrize("side", [[0.5], [0.5, np.nan], []])
def test_equivalence_that_cannot_be_tested_is_empty(side):
    found = equivalence(np.array(side), np.array([0.5, 0.6]), bound=0.1, level=0.05)
    assert np.isnan([found.p_value, found.ci_low, found.detectable_bound]).all()


def test_enough_replicates_show_equivalence_as_often_as_wanted():
    n = replicates_for(1.0, bound=1.0, level=0.05)
    generator = np.random.default_rng(0)
    shown = [
        equivalence(*generator.normal(size=(2, n)), bound=1.0, level=0.05).p_value < 0.05
        for _ in range(1000)
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.05)


def rows(values, **changes):
    base = {"architecture": "a", "source": "s", "norm": "l2", "dataset": "d", "origin": "run",
            "resolution": "native", "mode": "full", "protocol": "clean", "metric": "top1",
            "transfer_seed": 0}  # fmt: skip
    return [base | changes | {"epsilon": epsilon, "pretrain_seed": seed, "accuracy": accuracy}
            for epsilon, accuracies in values.items()
            for seed, accuracy in enumerate(accuracies)]  # fmt: skip


def test_the_table_says_what_was_shown_of_each_epsilon():
    table = make_table(rows({
        0: [0.500, 0.501, 0.502], 0.01: [0.501, 0.500, 0.502], 0.1: [0.503, 0.504, 0.505],
        0.5: [0.7, 0.701, 0.702], 1: [0.3, 0.6, 0.8], 3: [0.5],
    }), ACCURACY)  # fmt: skip
    found = equivalence_table(table, bound=0.01, placebo_epsilon=0.01, confidence=0.95)
    assert found["verdict"].tolist() == ["equivalent", "both", "different", "undecided", "untested"]
    assert found["placebo"].tolist() == [1, 0, 0, 0, 0]
    assert (found["p_equivalent_adjusted"] >= found["p_equivalent"]).sum() == 4


def test_the_placebo_rate_counts_tested_placebos_alone():
    generator = np.random.default_rng(0)
    parts = []
    for k in range(200):
        values = {e: 0.5 + 0.01 * generator.normal(size=3) for e in (0, 0.01)}
        parts += rows(values, dataset=f"d{k}")
    parts += rows({0: [0.5], 0.01: [0.6]}, dataset="untested")
    table = equivalence_table(
        make_table(parts, ACCURACY), bound=0.01, placebo_epsilon=0.01, confidence=0.95
    )
    found = placebo_rate(table, level=0.05)
    assert found["tested"] == 200
    assert found["rate"] == pytest.approx(0.05, abs=0.05)
    nothing = placebo_rate(table.iloc[:0], level=0.05)
    assert (nothing["tested"], nothing["different"]) == (0, 0)
    assert np.isnan(nothing["rate"])


def test_an_empty_table_of_accuracies_gives_an_empty_table():
    table = equivalence_table(
        make_table([], ACCURACY), bound=0.01, placebo_epsilon=0.01, confidence=0.95
    )
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 0


@settings(max_examples=40, deadline=None)
@given(samples, st.sampled_from([0.8, 0.95]))
def test_the_interval_of_a_mean_equals_scipy(values, confidence):
    oracle = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert mean_interval(np.array(values), confidence=confidence) == pytest.approx(
        tuple(oracle), **CLOSE)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_of_a_share_equals_scipy_and_statsmodels(n, part):
    right = round(part * n)
    found = share_interval(right / n, n, confidence=0.95)
    oracle = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx(tuple(oracle), **CLOSE)
    assert found == pytest.approx(proportion_confint(right, n, method="wilson"), **CLOSE)


def test_intervals_of_too_little_are_empty():
    assert np.isnan(mean_interval(np.array([0.5]), confidence=0.95)).all()
    assert np.isnan(mean_interval(np.array([0.5, np.nan]), confidence=0.95)).all()
    assert np.isnan(share_interval(0.5, np.nan, confidence=0.95)).all()
    assert np.isnan(share_interval(np.nan, 10, confidence=0.95)).all()


def test_no_linf_backbone_is_a_placebo():
    """Half a grey level in every pixel is a far larger attack than an L2 norm of 0.01."""
    base = {"architecture": "a", "source": "s", "dataset": "d", "resolution": "native",
            "mode": "full", "protocol": "clean", "metric": "top1", "origin": "run"}  # fmt: skip
    rows = [base | {"norm": norm, "epsilon": epsilon, "pretrain_seed": seed, "accuracy": 0.5}
            for norm in ("l2", "linf") for epsilon in (0, 0.005) for seed in (0, 1)]  # fmt: skip
    found = equivalence_table(
        make_table(rows, ACCURACY), bound=0.01, placebo_epsilon=0.01, confidence=0.95
    )
    assert found.set_index("norm")["placebo"].to_dict() == {"l2": 1, "linf": 0}
