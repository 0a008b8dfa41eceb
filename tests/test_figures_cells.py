"""Cells of the figures: intervals as SciPy has them, n, and what a verdict follows."""

import numpy as np
import pandas as pd
import pytest
import synthetic_study as made
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.figures.cells import mean_interval, share_interval, summarise
from robust_transfer.figures.results import (
    ACCURACY,
    read_results,
)
from robust_transfer.figures.verdicts import with_verdicts
from scipy import stats


def test_a_cell_with_two_pretrainings_counts_pretrainings():
    table = made.accuracy_table()
    cells = summarise(table, 0.95)
    where = "epsilon == 0.25 and dataset == 'greek' and mode == 'fixed' and resolution == '32'"
    cell, runs = cells.query(where).iloc[0], table.query(where)
    means = runs.groupby("pretrain_seed")["accuracy"].mean()
    low, high = stats.t.interval(0.95, 1, loc=means.mean(), scale=stats.sem(means))
    assert (cell["n"], cell["replicate"]) == (2, "pretrain_seed")
    assert cell["mean"] == pytest.approx(means.mean(), abs=1e-12)
    assert cell["ci_low"] == pytest.approx(max(low, 0), abs=1e-9)
    assert cell["ci_high"] == pytest.approx(min(high, 1), abs=1e-9)


def test_a_cell_with_one_pretraining_counts_transfer_seeds():
    cells = summarise(made.accuracy_table(), 0.95)
    assert set(cells[cells["epsilon"] == 1]["replicate"]) == {"transfer_seed"}
    assert set(cells[cells["epsilon"] == 1]["n"]) == {3}


def test_a_single_run_has_the_interval_of_a_share_of_its_test_images():
    cells = summarise(made.accuracy_table(backbones=[(0.0, 0)], seeds=[0]), 0.95)
    cell = cells.iloc[0]
    expected = stats.binomtest(round(cell["mean"] * 1000), 1000).proportion_ci(0.95, "wilson")
    assert (cell["n"], cell["replicate"]) == (1, "none")
    assert (cell["ci_low"], cell["ci_high"]) == pytest.approx(tuple(expected), abs=1e-12)


def test_a_published_number_without_test_size_has_no_interval():
    row = {"architecture": "a", "dataset": "d", "mode": "fixed", "epsilon": 0, "accuracy": 0.5}
    cell = summarise(pd.DataFrame([row]), 0.95).iloc[0]
    assert np.isnan(cell["ci_low"])
    assert cell["mean"] == 0.5


def test_cells_of_an_empty_table_are_an_empty_table():
    assert summarise(pd.DataFrame(columns=list(ACCURACY), dtype=float), 0.95).empty


def test_equal_replicates_have_an_interval_of_no_width():
    assert mean_interval(np.array([0.5, 0.5, 0.5]), 0.95) == (0.5, 0.5)


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=50, deadline=None)
def test_an_interval_of_a_share_equals_scipys(hits, misses, confidence):
    expected = stats.binomtest(hits, hits + misses).proportion_ci(confidence, "wilson")
    found = share_interval(hits / (hits + misses), hits + misses, confidence)
    assert found == pytest.approx(tuple(expected), abs=1e-9)


def test_a_resolution_read_from_a_table_is_a_word(tmp_path):
    made.accuracy_table({"greek": ["32"]}).to_csv(tmp_path / "a.csv", index=False)
    table = read_results(tmp_path / "a.csv", ACCURACY)
    assert set(table["resolution"]) == {"32"}


def test_reading_a_table_back_loses_no_digit(tmp_path):
    table = made.accuracy_table()
    table.to_csv(tmp_path / "a.csv", index=False)
    found = read_results(tmp_path / "a.csv", ACCURACY)[list(table.columns)]
    pd.testing.assert_frame_equal(found, table, check_dtype=False, rtol=0)


def test_a_table_without_rows_reads_as_an_empty_table(tmp_path):
    (tmp_path / "a.csv").write_text("dataset,accuracy\n")
    table = read_results(tmp_path / "a.csv", ACCURACY)
    assert table.empty
    assert set(ACCURACY) <= set(table)


# Verdicts


def test_a_verdict_follows_adjusted_p_and_sign():
    rows = pd.DataFrame({"difference": [0.1, -0.1, 0.1, 0.1, np.nan],
                         "p_adjusted": [0.01, 0.01, 0.05, np.nan, 0.01]})  # fmt: skip
    kinds = list(with_verdicts(rows, 0.05)["verdict"])
    assert kinds == ["robust", "standard", "unclear", "untested", "untested"]
