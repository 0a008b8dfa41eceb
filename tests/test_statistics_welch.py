"""Welch's test equals SciPy's and statsmodels', counts what law 5 says, and adjusts by Holm."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.statistics.holm import holm
from robust_transfer.statistics.power import detectable_difference, power
from robust_transfer.statistics.replicates import sides, with_standards
from robust_transfer.statistics.selected import selected_table
from robust_transfer.statistics.tables import ACCURACY, make_table
from robust_transfer.statistics.welch import COLUMNS, hedges_g, welch, welch_table
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

CONTRACT = [
    "mode", "dataset", "resolution", "architecture", "norm", "epsilon", "n_robust", "n_standard",
    "mean_robust", "mean_standard", "difference", "ci_low", "ci_high", "t", "dof", "p_value",
    "p_adjusted", "replicate",
]  # fmt: skip


def row(epsilon, pretrain_seed, transfer_seed, accuracy, **changes):
    return {
        "architecture": "net", "source": "letters", "norm": "l2", "epsilon": epsilon,
        "pretrain_seed": pretrain_seed, "dataset": "digits", "resolution": "native",
        "mode": "fixed", "protocol": "clean", "transfer_seed": transfer_seed, "n_test": 1000,
        "metric": "top1", "accuracy": accuracy, "source_accuracy": 0.9, "origin": "run",
        "validation_accuracy": accuracy,
    } | changes  # fmt: skip


def grid(epsilons, pretrain_seeds, transfer_seeds, seed=0, **changes):
    generator = np.random.default_rng(seed)
    return make_table(
        [row(epsilon, p, t, round(0.8 + 0.01 * generator.normal(), 4), **changes)
         for epsilon in epsilons for p in pretrain_seeds for t in transfer_seeds],
        ACCURACY)  # fmt: skip


samples = st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda v: np.std(v) > 1e-4)


@settings(max_examples=60, deadline=None)
@given(samples, samples, st.sampled_from([0.8, 0.95, 0.99]))
def test_welch_equals_scipy_and_statsmodels(robust, standard, confidence):
    found = welch(np.array(robust), np.array(standard), confidence=confidence)
    scipy = stats.ttest_ind(robust, standard, equal_var=False)
    greater = stats.ttest_ind(robust, standard, equal_var=False, alternative="greater")
    models = CompareMeans(DescrStatsW(robust), DescrStatsW(standard))
    close = dict(rel=1e-9, abs=1e-9)
    assert [found.t, found.dof, found.p_value] == pytest.approx(
        [scipy.statistic, scipy.df, scipy.pvalue], **close)  # fmt: skip
    assert [found.t, found.p_value, found.dof] == pytest.approx(
        models.ttest_ind(usevar="unequal"), **close)  # fmt: skip
    assert found.p_greater == pytest.approx(greater.pvalue, **close)
    interval = [found.ci_low, found.ci_high]
    assert interval == pytest.approx(list(scipy.confidence_interval(confidence)), **close)
    assert interval == pytest.approx(
        models.tconfint_diff(1 - confidence, usevar="unequal"), **close)  # fmt: skip


DEGENERATE = {
    "n of 1": ([0.5], [0.4, 0.5]),
    "no spread": ([0.5, 0.5], [0.4, 0.4, 0.4]),
    "a value is missing": ([0.5, np.nan], [0.4, 0.5]),
}


@pytest.mark.parametrize(("note", "given_samples"), DEGENERATE.items())
def test_a_test_that_cannot_be_made_is_empty_and_says_why(note, given_samples):
    found = welch(*map(np.array, given_samples), confidence=0.95)
    assert found.note.startswith(note)
    assert np.isnan([found.t, found.dof, found.p_value, found.ci_low, found.hedges_g]).all()


def test_empty_sides_have_no_mean_and_raise_no_warning():
    found = welch(np.array([]), np.array([0.5, 0.6]), confidence=0.95)
    assert (found.n_robust, found.n_standard) == (0, 2)
    assert np.isnan(found.difference)


def test_spread_that_is_rounding_counts_as_none():
    nearly = np.array([0.1 + 0.2, 0.3, 0.3])
    assert welch(nearly, nearly + 0.1, confidence=0.95).note.startswith("no spread")


def test_one_side_without_spread_is_tested_on_the_other_side_alone():
    found = welch(np.array([0.5, 0.5]), np.array([0.4, 0.45, 0.41]), confidence=0.95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy: precision loss
        oracle = stats.ttest_ind([0.5, 0.5], [0.4, 0.45, 0.41], equal_var=False)
    assert found.dof == pytest.approx(2)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-9)


def test_equal_samples_swapped_give_the_opposite_difference():
    a, b = np.array([0.5, 0.6, 0.55]), np.array([0.4, 0.45])
    one, two = welch(a, b, confidence=0.95), welch(b, a, confidence=0.95)
    assert (one.difference, one.t, one.ci_low) == pytest.approx(
        (-two.difference, -two.t, -two.ci_high))  # fmt: skip
    assert one.p_greater == pytest.approx(1 - two.p_greater)


def test_hedges_g_equals_the_formula_by_hand():
    """n = 3 and 2: pooled with 3 degrees of freedom, J(3) = gamma(1.5) / (sqrt(1.5) gamma(1))."""
    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0])
    pooled = ((2 * 1 + 1 * 0.5) / 3) ** 0.5
    correction = (np.pi**0.5 / 2) / 1.5**0.5
    assert hedges_g(a, b) == pytest.approx(correction * 1.5 / pooled, abs=1e-12)


def test_hedges_g_is_unbiased():
    generator = np.random.default_rng(0)
    found = [hedges_g(generator.normal(1, 1, 4), generator.normal(0, 1, 5)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(1, abs=0.05)


@settings(max_examples=15, deadline=None)  # statsmodels takes 0.1 s a call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_equals_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(np.array(p_values)), expected, atol=1e-12)


def test_holm_does_not_count_missing_tests():
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])
    assert holm(np.array([])).shape == (0,)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0])
def test_power_equals_statsmodels_for_equal_sides(n, effect):
    expected = TTestIndPower().power(effect, n, 0.05, ratio=1)
    assert power(effect, 1.0, 1.0, n, n, level=0.05) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_detectable_difference_has_the_wanted_power(n):
    found = detectable_difference(0.01, 0.02, n, n + 1, level=0.05)
    assert power(found, 0.01, 0.02, n, n + 1, level=0.05) == pytest.approx(0.8, abs=1e-9)


def test_nothing_is_detectable_without_spread_or_replicates():
    assert np.isnan(detectable_difference(0.0, 0.0, 3, 3, level=0.05))
    assert np.isnan(detectable_difference(np.nan, 0.1, 1, 3, level=0.05))


def test_pretrainings_count_once_where_there_are_two_on_both_sides():
    table = grid([0, 0.25], [0, 1, 2], [0, 1])
    (found,) = welch_table(table, confidence=0.95).to_dict("records")
    means = table.groupby(["epsilon", "pretrain_seed"])["accuracy"].mean()
    oracle = stats.ttest_ind(means[0.25], means[0.0], equal_var=False)
    assert (found["replicate"], found["n_robust"], found["n_standard"]) == ("pretrain_seed", 3, 3)
    assert found["p_value"] == pytest.approx(oracle.pvalue, abs=1e-9)
    assert found["note"] == ""


def test_unequal_numbers_of_transfer_seeds_do_not_change_a_pretrainings_weight():
    table = grid([0, 0.25], [0, 1], [0, 1, 2])
    table = table[~((table["pretrain_seed"] == 1) & (table["transfer_seed"] > 0))]
    (found,) = welch_table(table, confidence=0.95).to_dict("records")
    means = table.groupby(["epsilon", "pretrain_seed"])["accuracy"].mean()
    assert found["mean_robust"] == pytest.approx(means[0.25].mean(), abs=1e-12)


def test_transfer_seeds_count_on_one_backbone_where_pretrainings_are_too_few():
    table = pd.concat([grid([0], [0, 1], [0, 1, 2]), grid([0.5], [0], [0, 1, 2], seed=1)])
    (found,) = welch_table(table, confidence=0.95).to_dict("records")
    standard = table[(table["epsilon"] == 0) & (table["pretrain_seed"] == 0)]["accuracy"]
    assert (found["replicate"], found["n_robust"], found["n_standard"]) == ("transfer_seed", 3, 3)
    assert found["mean_standard"] == pytest.approx(standard.mean(), abs=1e-12)
    assert found["note"] == "conditional on the backbones of pretrain seed 0"


def test_sides_without_a_common_pretrain_seed_name_both():
    both = sides(grid([0.5], [4], [0, 1]), grid([0], [2, 3], [0, 1]))
    assert both.note.endswith("pretrain seed 4 (robust) and 2 (standard)")


def test_a_single_run_a_side_is_compared_but_not_tested():
    (found,) = welch_table(grid([0, 0.5], [0], [0]), confidence=0.95).to_dict("records")
    assert (found["replicate"], found["n_robust"], found["note"]) == ("none", 1, "n of 1: no test")
    assert np.isfinite(found["difference"])
    assert np.isnan([found["p_value"], found["p_adjusted"], found["ci_low"]]).all()
    assert found["family"].startswith("no test")


def test_a_place_without_a_standard_backbone_says_so():
    (found,) = welch_table(grid([0.5], [0, 1], [0]), confidence=0.95).to_dict("records")
    assert (found["n_standard"], found["note"]) == (0, "no standard backbone here")


def test_runs_without_an_accuracy_do_not_count():
    table = grid([0, 0.5], [0, 1], [0])
    table.loc[0, "accuracy"] = np.nan
    (found,) = welch_table(table, confidence=0.95).to_dict("records")
    assert (found["n_standard"], found["replicate"]) == (1, "none")


def test_a_standard_backbone_stands_in_for_a_norm_that_has_none():
    linf = grid([0.03], [0, 1], [0], norm="linf")
    table = pd.concat([grid([0, 0.5], [0, 1], [0]), linf])
    found = welch_table(table, confidence=0.95)
    assert found["norm"].tolist() == ["l2", "linf"]
    assert found["mean_standard"].nunique() == 1
    own = pd.concat([table, grid([0], [0, 1], [0], seed=5, norm="linf")])
    assert len(with_standards(own)) == len(own)


def test_the_table_has_the_columns_of_the_contract_first():
    assert list(COLUMNS[: len(CONTRACT)]) == CONTRACT


@pytest.mark.parametrize("make", [welch_table, selected_table])
def test_no_rows_and_no_test_wanted_give_an_empty_table(make):
    empty = make_table([], ACCURACY)
    assert len(make(empty, confidence=0.95)) == 0
    assert len(make(grid([0, 0.5], [0, 1], [0]), confidence=0.95, tests=["pearson"])) == 0
    assert set(CONTRACT) <= set(make(empty, confidence=0.95).columns)


def test_holm_is_over_one_protocol_and_origin_and_the_family_is_named():
    parts = [grid([0, 0.25, 0.5], [0, 1], [0], seed=k, dataset=f"d{k}") for k in range(3)]
    parts += [grid([0, 0.5], [0, 1], [0], protocol="paper")]
    found = welch_table(pd.concat(parts), confidence=0.95)
    clean = found[found["protocol"] == "clean"]
    expected = multipletests(clean["p_value"], method="holm")[1]
    np.testing.assert_allclose(clean["p_adjusted"], expected, atol=1e-12)
    assert set(clean["family"]) == {"all 6 tests of protocol clean, origin run"}
    paper = found[found["protocol"] == "paper"]
    assert paper["p_adjusted"].item() == paper["p_value"].item()


def test_the_table_does_not_depend_on_the_order_of_rows():
    table = pd.concat([grid([0, 0.25, 0.5], [0, 1], [0, 1], seed=k, dataset=f"d{k}")
                       for k in range(3)])  # fmt: skip
    shuffled = table.sample(frac=1, random_state=0)
    for make in (welch_table, selected_table):
        pd.testing.assert_frame_equal(make(table, confidence=0.95), make(shuffled, confidence=0.95))


def choosing(validation, test, unit="pretrain_seed"):
    """Robust runs with given accuracies: epsilon -> one a replicate; and two standard runs."""
    rows = []
    for epsilon in validation:
        for seed, (val, acc) in enumerate(zip(validation[epsilon], test[epsilon], strict=True)):
            seeds = (seed, 0) if unit == "pretrain_seed" else (0, seed)
            rows.append(row(epsilon, *seeds, acc, validation_accuracy=val))
    for seed, acc in enumerate((0.7, 0.71)):
        seeds = (seed, 0) if unit == "pretrain_seed" else (0, seed)
        rows.append(row(0, *seeds, acc))
    return make_table(rows, ACCURACY)


@pytest.mark.parametrize("unit", ["pretrain_seed", "transfer_seed"])
def test_each_replicate_takes_what_validation_chose_for_the_others(unit):
    """Others say 0.25, 0.25 and 0.5: the third's own luck at 0.25 must not choose for itself."""
    table = choosing({0.25: [0.6, 0.6, 0.9], 0.5: [0.7, 0.7, 0.5]},
                     {0.25: [0.95, 0.96, 0.75], 0.5: [0.99, 0.99, 0.72]}, unit)  # fmt: skip
    (found,) = selected_table(table, confidence=0.95).to_dict("records")
    assert (found["epsilon"], found["chosen"]) == (0.25, "0.25 x2;0.5 x1")
    assert (found["candidates"], found["replicate"]) == ("0.25;0.5", unit)
    oracle = stats.ttest_ind([0.95, 0.96, 0.72], [0.7, 0.71], equal_var=False)
    assert found["p_value"] == pytest.approx(oracle.pvalue, abs=1e-9)


def test_a_single_replicate_chooses_nothing():
    (found,) = selected_table(grid([0, 0.25, 0.5], [0], [0]), confidence=0.95).to_dict("records")
    assert found["note"] == "a single replicate: no epsilon was chosen"


def test_equal_validation_accuracies_choose_the_smallest_epsilon():
    table = choosing({0.5: [0.8, 0.8], 0.25: [0.8, 0.8]}, {0.5: [0.9, 0.8], 0.25: [0.7, 0.6]})
    (found,) = selected_table(table, confidence=0.95).to_dict("records")
    assert found["epsilon"] == 0.25


def test_transfer_seeds_choose_where_only_one_pretraining_has_every_epsilon():
    table = pd.concat([grid([0, 0.25], [0, 1], [0, 1, 2]), grid([0.5], [0], [0, 1, 2], seed=1)])
    (found,) = selected_table(table, confidence=0.95).to_dict("records")
    assert (found["replicate"], found["n_robust"], found["n_standard"]) == ("transfer_seed", 3, 3)
    assert found["note"] == "conditional on the backbones of pretrain seed 0"


def test_published_numbers_choose_nothing():
    table = grid([0, 0.5], [0], [0]).assign(validation_accuracy=np.nan, origin="A paper")
    (found,) = selected_table(table, confidence=0.95).to_dict("records")
    assert found["note"] == "no validation accuracies: no epsilon was chosen"
    assert (found["replicate"], found["candidates"]) == ("none", "0.5")
