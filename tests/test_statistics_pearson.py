"""Correlations equal SciPy's, permutation p values those of every pairing, partial ones algebra."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.statistics.pearson import fisher_interval, p_by_permutation, partial, pearson
from robust_transfer.statistics.source_correlation import COLUMNS, pearson_table
from robust_transfer.statistics.tables import ACCURACY, make_table
from scipy import stats

CONTRACT = ["mode", "dataset", "resolution", "norm", "epsilon", "n", "r", "ci_low", "ci_high",
            "p_value", "r_squared"]  # fmt: skip
CLOSE = {"rel": 1e-9, "abs": 1e-9}


def draw(seed, n, columns=2):
    return np.random.default_rng(seed).normal(size=(columns, n))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(11, 60), st.sampled_from([0.8, 0.95]))
def test_pearson_equals_scipy(seed, n, confidence):
    x, y = draw(seed, n)
    found, oracle = pearson(x, y, confidence=confidence), stats.pearsonr(x, y)
    assert [found.n, found.r, found.p_value] == pytest.approx(
        [n, oracle.statistic, oracle.pvalue], **CLOSE)  # fmt: skip
    assert [found.ci_low, found.ci_high] == pytest.approx(
        list(oracle.confidence_interval(confidence)), **CLOSE)  # fmt: skip
    assert found.p_method == "Student's t"


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_the_permutation_p_value_counts_every_pairing(n):
    x, y = draw(n, n)
    observed = abs(stats.pearsonr(x, y).statistic)
    every = [abs(stats.pearsonr(x, order).statistic) for order in itertools.permutations(y)]
    expected = np.mean([each >= observed - 1e-12 for each in every])
    found = pearson(x, y, confidence=0.95)
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert found.p_t == pytest.approx(stats.pearsonr(x, y).pvalue, **CLOSE)


def test_tied_values_count_all_their_pairings():
    x, y = np.array([0.0, 0, 1, 1]), np.array([0.0, 0, 1, 1])
    assert p_by_permutation(x, y)[0] == pytest.approx(8 / 24)


def test_ten_pairs_are_permuted_at_random_from_a_fixed_seed():
    x, y = draw(1, 10)
    found, again = pearson(x, y, confidence=0.95), pearson(x, y, confidence=0.95)
    assert found == again
    assert "99999 random permutations" in found.p_method
    assert found.p_value == pytest.approx(found.p_t, abs=0.02)
    assert pearson(x, x, confidence=0.95).p_value < 1e-4


DEGENERATE = {
    "n of 0": ([], []),
    "n of 2": ([1, 2], [1, 2]),
    "no spread": ([1, 1, 1, 1], [1, 2, 3, 4]),
    "a value is missing": ([1, 2, np.nan, 4], [1, 2, 3, 4]),
}


@pytest.mark.parametrize(("note", "pairs"), DEGENERATE.items())
def test_a_correlation_that_cannot_be_made_is_empty_and_says_why(note, pairs):
    found = pearson(*map(np.array, pairs), confidence=0.95)
    assert found.note.startswith(note)
    assert np.isnan([found.r, found.ci_low, found.p_value]).all()


def test_three_pairs_have_a_correlation_but_no_interval():
    found = pearson(np.array([1.0, 2, 3]), np.array([1.0, 2, 4]), confidence=0.95)
    assert np.isfinite([found.r, found.p_value]).all()
    assert np.isnan(found.ci_low)
    assert found.note.startswith("n of 3")


def test_a_perfect_line_has_a_correlation_of_one_and_no_warning():
    x = np.linspace(0, 1, 20)
    found = pearson(x, 1 - 2 * x, confidence=0.95)
    assert found.r == pytest.approx(-1)
    assert found.p_value == pytest.approx(0, abs=1e-12)
    assert fisher_interval(-1.0, 20, confidence=0.95) == (-1.0, -1.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 40))
def test_partial_correlation_given_one_variable_equals_the_recursion(seed, n):
    x, y, z = draw(seed, n, 3)
    xy, xz, yz = (stats.pearsonr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / ((1 - xz**2) * (1 - yz**2)) ** 0.5
    assert partial(x, y, z, confidence=0.95).r == pytest.approx(expected, **CLOSE)


def test_the_partial_p_value_is_that_of_the_regression_coefficient():
    x, y = draw(3, 20)
    levels = (np.arange(20)[:, None] % 4 == [1, 2, 3]).astype(float)
    design = np.column_stack([x, np.ones(20), levels])
    found = partial(x, y, levels, confidence=0.95)
    assert found.p_value == pytest.approx(sm.OLS(y, design).fit().pvalues[0], **CLOSE)
    low, high = fisher_interval(found.r, 17, confidence=0.95)
    assert (found.ci_low, found.ci_high) == (low, high)


def test_given_a_category_the_partial_correlation_is_that_of_deviations_from_its_means():
    x, y = draw(4, 12)
    group = np.arange(12) % 3
    centred = [v - np.array([v[group == g].mean() for g in group]) for v in (x, y)]
    levels = (group[:, None] == [1, 2]).astype(float)
    found = partial(x, y, levels, confidence=0.95)
    assert found.r == pytest.approx(stats.pearsonr(*centred).statistic, **CLOSE)


def test_redundant_columns_held_fixed_cost_no_degrees_of_freedom():
    x, y, z = draw(5, 12, 3)
    once = partial(x, y, z, confidence=0.95)
    twice = partial(x, y, np.column_stack([z, 2 * z, np.ones(12)]), confidence=0.95)
    assert once.p_value == pytest.approx(twice.p_value, **CLOSE)


def test_partial_correlations_that_cannot_be_made_are_empty():
    x, y, z = draw(6, 6, 3)
    assert "too few" in partial(x, y, np.eye(6)[:, :4], confidence=0.95).note
    assert "nothing is left" in partial(z, y, z, confidence=0.95).note
    assert "missing" in partial(np.full(6, np.nan), y, z, confidence=0.95).note
    assert "too few" in partial(np.ones(0), np.ones(0), np.ones((0, 1)), confidence=0.95).note


def table(architectures, epsilons, pretrain_seeds, transfer_seeds=(0, 1), seed=0):
    generator = np.random.default_rng(seed)
    rows = []
    for architecture, epsilon, p in itertools.product(architectures, epsilons, pretrain_seeds):
        source = generator.uniform(0.5, 0.9)
        rows += [
            {"architecture": architecture, "source": "letters", "norm": "l2", "epsilon": epsilon,
             "pretrain_seed": p, "dataset": "digits", "resolution": "native", "mode": "full",
             "protocol": "clean", "transfer_seed": t, "metric": "top1", "origin": "run",
             "accuracy": generator.uniform(0.5, 0.9), "source_accuracy": source}
            for t in transfer_seeds
        ]  # fmt: skip
    return make_table(rows, ACCURACY)


def test_the_table_has_the_columns_of_the_contract_first():
    assert list(COLUMNS[: len(CONTRACT)]) == CONTRACT


def test_with_one_architecture_each_backbone_counts_once_whatever_its_transfer_seeds():
    accuracy = table(["net"], [0, 0.25, 0.5], [0, 1])
    found = pearson_table(accuracy, confidence=0.95)
    assert found["n"].tolist() == [6, 2, 2, 2]
    assert set(found["unit"]) == {"backbone"}
    both = ["source_accuracy", "accuracy"]
    points = accuracy.groupby(["epsilon", "pretrain_seed"])[both].mean().to_numpy()
    oracle = stats.pearsonr(*points.T).statistic
    assert found["r"].iloc[0] == pytest.approx(oracle, **CLOSE)


def test_with_three_architectures_each_counts_once_whatever_its_pretrainings():
    accuracy = table(["a", "b", "c", "d"], [0, 1], [0, 1, 2])
    found = pearson_table(accuracy, confidence=0.95)
    assert found["n"].tolist() == [8, 4, 4]
    assert found["epsilon"].isna().tolist() == [True, False, False]
    assert set(found["unit"]) == {"architecture"}


def test_pooled_rows_hold_the_correlation_given_epsilon():
    """Two parallel lines that are shifted: high at each epsilon, low when pooled."""
    x = np.linspace(0.6, 0.8, 5)
    rows = table(list("abcde"), [0, 3], [0], [0]).sort_values(["epsilon", "architecture"])
    rows["source_accuracy"] = np.concatenate([x, x - 0.15])
    rows["accuracy"] = np.concatenate([x, x + 0.1])
    found = pearson_table(rows, confidence=0.95)
    assert found["r_squared"].iloc[0] < 0.2
    assert found["r_squared"].iloc[1:].tolist() == pytest.approx([1, 1])
    assert found["within_r"].iloc[0] == pytest.approx(1)
    assert found["partial_r"].iloc[0] == pytest.approx(1)
    assert found["within_r"].iloc[1:].isna().all()


def test_backbones_without_a_source_accuracy_do_not_count():
    accuracy = table(["net"], [0, 1], [0, 1, 2])
    accuracy.loc[accuracy["pretrain_seed"] == 2, "source_accuracy"] = np.nan
    assert pearson_table(accuracy, confidence=0.95)["n"].tolist() == [4, 2, 2]


def test_no_rows_and_no_test_wanted_give_an_empty_table():
    assert len(pearson_table(make_table([], ACCURACY), confidence=0.95)) == 0
    accuracy = table(["net"], [0, 1], [0, 1, 2])
    assert len(pearson_table(accuracy, confidence=0.95, tests=["welch"])) == 0


def test_the_table_does_not_depend_on_the_order_of_rows():
    accuracy = table(["a", "b", "c"], [0, 1], [0, 1])
    one = pearson_table(accuracy, confidence=0.95)
    two = pearson_table(accuracy.sample(frac=1, random_state=1), confidence=0.95)
    pd.testing.assert_frame_equal(one, two)
