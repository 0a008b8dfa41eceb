"""The mixed model equals closed forms where there are any, and its own likelihood elsewhere."""

import numpy as np
import pandas as pd
import pytest
from robust_transfer.errors import DataError
from robust_transfer.statistics.granularity_table import COLUMNS
from robust_transfer.statistics.mixed import (
    generalised_least_squares,
    log_odds,
    mixed_model,
)
from robust_transfer.statistics.mixed_table import mixed_tables
from robust_transfer.statistics.tables import ACCURACY, make_table
from scipy import optimize, special, stats


def study(datasets=8, backbones=6, modes=("fixed", "full"), seed=0, effect=0.3):
    """Log-odds with a known effect of epsilon 0.5, and backbones and datasets that vary."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(0, 0.7, datasets)
    rows = []
    for backbone in range(backbones):
        epsilon, own = 0.5 * (backbone % 2), generator.normal(0, 0.1)
        for dataset in range(datasets):
            for mode in modes:
                value = 1 + hard[dataset] + own + effect * (epsilon > 0) + (mode == "full")
                value += generator.normal(0, 0.05)
                rows.append({
                    "architecture": "net", "source": "s", "norm": "l2", "epsilon": epsilon,
                    "pretrain_seed": backbone, "dataset": f"d{dataset}", "resolution": "native",
                    "mode": mode, "protocol": "clean", "transfer_seed": 0, "n_test": 10**9,
                    "accuracy": special.expit(value),
                })  # fmt: skip
    return make_table(rows, ACCURACY)


@pytest.mark.parametrize(("share", "n"), [(0.5, 10), (0.9, 1000), (0.0, 10), (1.0, 10)])
def test_log_odds_are_finite_and_add_half_an_image(share, n):
    right, wrong = share * n + 0.5, (1 - share) * n + 0.5
    found = log_odds(np.array([share]), np.array([n]))
    assert found[0] == pytest.approx(np.log(right / wrong), abs=1e-9)


def test_a_known_effect_is_found():
    fit = mixed_model(study(), confidence=0.95)
    effects = fit.effects.set_index("term")
    for mode in ("fixed", "full"):
        row = effects.loc[f"epsilon 0.5, {mode}"]
        assert row["ci_low"] < 0.3 < row["ci_high"]
    assert effects.loc["mode full", "estimate"] == pytest.approx(1, abs=0.05)
    assert set(fit.variances) == {"dataset", "backbone", "residual"}
    assert fit.variances["residual"] == pytest.approx(0.05**2, rel=0.5)


def test_balanced_effects_are_differences_of_means():
    """Balanced cells: generalised least squares is the plain contrast whatever the variances."""
    fit = mixed_model(study(), confidence=0.95)
    table = fit.residuals
    means = table.groupby(["mode", "epsilon"])["observed"].mean()
    effects = fit.effects.set_index("term")["estimate"]
    for mode in ("fixed", "full"):
        difference = means[mode, 0.5] - means[mode, 0.0]
        assert effects[f"epsilon 0.5, {mode}"] == pytest.approx(difference, abs=1e-9)


def test_the_variances_maximise_the_restricted_likelihood():
    fit = mixed_model(study(), confidence=0.95)
    table = fit.residuals
    y = table["observed"].to_numpy()
    design = np.column_stack([
        np.ones(len(y)), table["mode"] == "full",
        *[(table["mode"] == m) & (table["epsilon"] > 0) for m in ("fixed", "full")],
    ]).astype(float)  # fmt: skip
    same = {name: (table[name].to_numpy()[:, None] == table[name].to_numpy()).astype(float)
            for name in ("dataset", "backbone")}  # fmt: skip

    def loss(logs):
        """Minus twice the restricted log-likelihood, by hand."""
        v = np.exp(logs)
        covariance = v[0] * same["dataset"] + v[1] * same["backbone"] + v[2] * np.eye(len(y))
        inverse = np.linalg.inv(covariance)
        information = design.T @ inverse @ design
        beta = np.linalg.solve(information, design.T @ inverse @ y)
        rest = y - design @ beta
        return (np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
                + rest @ inverse @ rest)  # fmt: skip

    found = np.log([fit.variances[name] for name in ("dataset", "backbone", "residual")])
    best = optimize.minimize(loss, found, method="Nelder-Mead", options={"xatol": 1e-6})
    assert loss(found) - best.fun < 1e-4
    np.testing.assert_allclose(np.exp(found), np.exp(best.x), rtol=0.02)


def test_generalised_least_squares_equals_the_textbook_formula():
    generator = np.random.default_rng(0)
    design, y = generator.normal(size=(12, 3)), generator.normal(size=12)
    root = generator.normal(size=(12, 12))
    covariance = root @ root.T + np.eye(12)
    inverse = np.linalg.inv(covariance)
    information = design.T @ inverse @ design
    estimates, errors = generalised_least_squares(y, design, covariance)
    np.testing.assert_allclose(
        estimates, np.linalg.solve(information, design.T @ inverse @ y), atol=1e-9
    )
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(information))), atol=1e-9)


def test_intervals_and_p_values_are_normal():
    effects = mixed_model(study(), confidence=0.9).effects
    low, high = stats.norm.interval(0.9, effects["estimate"], effects["standard_error"])
    np.testing.assert_allclose(effects["ci_low"], low, atol=1e-9)
    np.testing.assert_allclose(effects["ci_high"], high, atol=1e-9)
    np.testing.assert_allclose(effects["p_value"], 2 * stats.norm.sf(abs(effects["z"])), atol=1e-9)


def test_granularity_enters_with_its_slope_and_its_slope_for_robust():
    fine = {f"d{k}": float(k) for k in range(7)}  # d7 has none and is left out
    fit = mixed_model(study(), confidence=0.95, granularity=fine)
    assert {"granularity", "granularity, robust"} <= set(fit.effects["term"])
    assert "d7@native" not in set(fit.residuals["dataset"])


def test_one_dataset_one_mode_and_a_backbone_a_cell_fall_back_to_least_squares():
    fit = mixed_model(study(datasets=1, modes=("full",), backbones=12), confidence=0.95)
    assert set(fit.variances) == {"residual"}
    means = fit.residuals.groupby("epsilon")["observed"].mean()
    estimate = fit.effects.set_index("term").loc["epsilon 0.5, full", "estimate"]
    assert estimate == pytest.approx(means[0.5] - means[0.0], abs=1e-9)


def test_diagnostics_say_whether_it_converged_and_how_residuals_look():
    measures = set(mixed_model(study(), confidence=0.95).diagnostics["measure"])
    assert "converged (1: yes)" in measures
    assert any("skewness" in each for each in measures)


def test_too_little_for_a_model_is_refused():
    with pytest.raises(DataError, match="at least two epsilons"):
        mixed_model(make_table([], ACCURACY), confidence=0.95)
    with pytest.raises(DataError, match="too few"):
        mixed_model(study(datasets=1, backbones=2), confidence=0.95)


def test_accuracies_that_are_all_equal_are_refused():
    """A perfect model on an easy folder: nothing varies, so no variance can be estimated."""
    with pytest.raises(DataError, match="no variance"):
        mixed_model(study().assign(accuracy=1.0, n_test=100), confidence=0.95)


# The tables


def test_the_tables_hold_the_model_of_each_origin_and_norm():
    table = study().assign(origin="run")
    other = study(seed=1).assign(origin="A paper; one table", norm="linf")
    effects, diagnostics, residuals = mixed_tables(
        pd.concat([table, other]), make_table([], COLUMNS), confidence=0.95
    )
    fit = mixed_model(table, confidence=0.95)
    mine = effects[effects["origin"] == "run"].reset_index(drop=True)
    assert mine["estimate"].tolist() == fit.effects["estimate"].tolist()
    assert set(effects["origin"]) == {"run", "A paper"}
    cells = diagnostics[diagnostics["measure"] == "cells"]["amount"]
    assert cells.tolist() == [96, 96]
    assert len(residuals) == 192


def test_granularity_enters_the_model_of_our_own_runs():
    table = study().assign(origin="run")
    rows = [{"dataset": f"d{k}", "resolution": "native", "separation": k} for k in range(8)]
    effects, _, _ = mixed_tables(table, make_table(rows, COLUMNS), confidence=0.95)
    assert {"granularity", "granularity, robust"} <= set(effects["term"])
    some = mixed_tables(table, make_table(rows[:5], COLUMNS), confidence=0.95)[0]
    assert "granularity" not in set(some["term"])


def test_what_cannot_be_fitted_leaves_a_note():
    table = study(backbones=1).assign(origin="run")
    effects, diagnostics, residuals = mixed_tables(table, make_table([], COLUMNS), confidence=0.95)
    assert effects.empty
    assert residuals.empty
    (row,) = diagnostics.to_dict("records")
    assert "two epsilons" in row["note"]
    assert mixed_tables(table.iloc[:0], make_table([], COLUMNS), confidence=0.95)[1].empty
