"""One answer over all cells: a linear mixed model of accuracy on log-odds.

Accuracies of one dataset, and of one backbone, are alike; a mixed model says so with random
intercepts, and then estimates what epsilon does, in each mode, over all cells at once.
"""

import warnings
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit, ndtr, ndtri

from robust_transfer.errors import DataError
from robust_transfer.statistics.replicates import by_transfer

#: Test images that a row without `n_test` is taken to have, to keep 0 and 1 off the infinite.
UNKNOWN_N_TEST = 10_000
RANDOM = ("dataset", "backbone")


@dataclass(frozen=True, eq=False)
class MixedFit:
    """A fitted mixed model.

    Attributes:
        effects: a row a fixed effect: `term`, `estimate` (log-odds), `standard_error`, `ci_low`,
            `ci_high`, `z`, `p_value`, `odds_ratio`.
        variances: name of a random effect (`dataset`, `backbone`) or `residual` -> variance, in
            squared log-odds.
        diagnostics: a row each: `measure`, `value`, in words what it is and what was found.
        residuals: a row a cell: what it is, `observed`, `fitted` and `residual`, in log-odds.
    """

    effects: pd.DataFrame
    variances: dict[str, float]
    diagnostics: pd.DataFrame
    residuals: pd.DataFrame


def log_odds(accuracy: np.ndarray, n_test: np.ndarray) -> np.ndarray:
    """Return log(accuracy / (1 - accuracy)), finite also at 0 and 1.

    Args:
        accuracy: (n,) shares.
        n_test: (n,) test images; half an image is added to the right and to the wrong ones.

    Source: Haldane 1956, Ann. Hum. Genet. 20, 309-311.
    """
    n_test = np.asarray(n_test, dtype=np.float64)
    return logit((np.asarray(accuracy) * n_test + 0.5) / (n_test + 1))


def cells(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Average transfer seeds: one row a backbone, dataset, resolution and mode.

    Args:
        accuracy: rows of accuracy.csv of one origin and protocol.

    Returns:
        `backbone`, `dataset` (with its resolution), `mode`, `epsilon`, `accuracy`, `n_test` and
        `log_odds`.
    """
    table = accuracy[accuracy["accuracy"].notna()].copy()
    identity = ["architecture", "source", "norm", "epsilon", "pretrain_seed"]
    words = table[identity].astype("str").fillna("")
    table["backbone"] = words["architecture"].str.cat(words[identity[1:]], sep="|")
    table["dataset"] = table["dataset"] + "@" + table["resolution"].fillna("native")
    rows: list[tuple[Hashable, ...]] = []
    keys = ["backbone", "dataset", "mode", "epsilon"]
    for key, group in table.groupby(keys, sort=True):
        n_test = float(group["n_test"].astype("float64").fillna(UNKNOWN_N_TEST).iloc[0])
        share = float(by_transfer(group).mean())
        rows.append(
            (*key, share, n_test, float(log_odds(np.array([share]), np.array([n_test]))[0]))
        )
    return pd.DataFrame(rows, columns=[*keys, "accuracy", "n_test", "log_odds"])


def mixed_model(
    accuracy: pd.DataFrame,
    *,
    confidence: float,
    granularity: dict[str, float] | None = None,
) -> MixedFit:
    """Fit log-odds by epsilon within mode, with random intercepts of dataset and backbone.

    Fixed effects: the mode; each epsilon above 0 against 0, in each mode; and, where `granularity`
    is given, its slope and how much more it matters to robust backbones. Variances by REML.

    Args:
        accuracy: rows of accuracy.csv of one origin and protocol.
        confidence: of the intervals (normal).
        granularity: dataset -> measure; standardised before use. Datasets without one are left
            out.

    Returns:
        The fit; its diagnostics say whether the optimiser converged and how residuals look.

    Raises:
        DataError: fewer than two epsilons, fewer cells than effects, or no variance.
    """
    table = cells(accuracy)
    if granularity:
        measure = table["dataset"].str.replace(r"@.*", "", regex=True).map(granularity)
        table = table[measure.notna()].reset_index(drop=True)
        values = measure.dropna().to_numpy(dtype=np.float64)
        spread = values.std()
        table["granularity"] = (values - values.mean()) / (spread if spread > 0 else 1.0)
    if table["epsilon"].nunique() < 2:
        raise DataError("A mixed model needs at least two epsilons.")
    terms, design = _design(table)
    if len(table) <= len(terms) + len(RANDOM):
        raise DataError(f"{len(table)} cells are too few for a model of {len(terms)} effects.")
    values = table["log_odds"].to_numpy()
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    if np.abs(rest).max() <= 1e-9 * (1 + np.abs(values).max()):
        raise DataError(
            "The accuracies do not vary beyond the effects (all are equal, say): there is no "
            "variance to estimate."
        )
    return _fit(table, terms, design, confidence)


def _design(table: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Return names and columns of the fixed effects; columns that say nothing new are left out."""
    columns = {"intercept": np.ones(len(table))}
    modes = sorted(table["mode"].unique())
    for mode in modes[1:]:
        columns[f"mode {mode}"] = (table["mode"] == mode).to_numpy(dtype=np.float64)
    for mode in modes:
        for epsilon in sorted(set(table["epsilon"]) - {0.0}):
            here = (table["mode"] == mode) & (table["epsilon"] == epsilon)
            columns[f"epsilon {epsilon:g}, {mode}"] = here.to_numpy(dtype=np.float64)
    if "granularity" in table:
        measure = table["granularity"].to_numpy()
        columns["granularity"] = measure
        columns["granularity, robust"] = measure * (table["epsilon"] > 0).to_numpy()
    kept: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        trial = np.column_stack([*kept.values(), column])
        if np.linalg.matrix_rank(trial) == trial.shape[1]:
            kept[name] = column
    return list(kept), np.column_stack(list(kept.values()))


def _fit(table: pd.DataFrame, terms: list[str], design: np.ndarray, confidence: float) -> MixedFit:
    """Estimate variances, then effects and diagnostics given these."""
    values = table["log_odds"].to_numpy()
    indicators = {
        name: pd.get_dummies(table[name], dtype=np.float64).to_numpy()
        for name in RANDOM
        if 1 < table[name].nunique() < len(table)
    }
    variances, converged = _variances(values, design, indicators)
    covariance = variances["residual"] * np.eye(len(values))
    for name, matrix in indicators.items():
        covariance += variances[name] * matrix @ matrix.T
    estimates, errors = generalised_least_squares(values, design, covariance)
    rest = values - design @ estimates
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), rest)
    residuals = table.drop(columns="log_odds").assign(
        observed=values, fitted=design @ estimates, residual=rest
    )
    return MixedFit(
        effects=_effects(terms, estimates, errors, confidence),
        variances=variances,
        diagnostics=_diagnostics(table, whitened, variances, converged),
        residuals=residuals,
    )


def _variances(
    values: np.ndarray, design: np.ndarray, indicators: dict[str, np.ndarray]
) -> tuple[dict[str, float], bool]:
    """Estimate the variances by REML; without any random effect, as least squares does.

    statsmodels takes crossed random effects as one group with variance components.
    """
    if not indicators:
        rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return {"residual": float(rest @ rest / (len(values) - design.shape[1]))}, True
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    names, matrices = list(indicators), list(indicators.values())
    levels = [[[str(k) for k in range(matrix.shape[1])]] for matrix in matrices]
    spec = VCSpec(names, levels, [[matrix] for matrix in matrices])
    model = MixedLM(values, design, np.zeros(len(values)), exog_vc=spec)
    with warnings.catch_warnings():
        # A variance at 0 is on the boundary, which is an answer; `converged` is reported.
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    found = dict(zip(names, map(float, fit.vcomp), strict=True))
    return found | {"residual": float(fit.scale)}, bool(fit.converged)


def generalised_least_squares(
    values: np.ndarray, design: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and standard errors when the covariance of the values is known.

    Args:
        values: (n,).
        design: (n, k), of full rank.
        covariance: (n, n), positive definite.

    Source: Aitken 1936, Proc. R. Soc. Edinb. 55, 42-48.
    """
    root = np.linalg.cholesky(covariance)
    whitened, target = np.linalg.solve(root, design), np.linalg.solve(root, values)
    information = whitened.T @ whitened
    estimates = np.linalg.solve(information, whitened.T @ target)
    return estimates, np.sqrt(np.diag(np.linalg.inv(information)))


def _effects(
    terms: list[str], estimates: np.ndarray, errors: np.ndarray, confidence: float
) -> pd.DataFrame:
    """Return the fixed effects with intervals and p values."""
    half = float(ndtri(0.5 + confidence / 2)) * errors
    z = estimates / errors
    return pd.DataFrame({
        "term": terms, "estimate": estimates, "standard_error": errors,
        "ci_low": estimates - half, "ci_high": estimates + half, "z": z,
        "p_value": 2 * ndtr(-np.abs(z)), "odds_ratio": np.exp(estimates),
    })  # fmt: skip


def _diagnostics(
    table: pd.DataFrame, whitened: np.ndarray, variances: dict[str, float], converged: bool
) -> pd.DataFrame:
    """Return what a reader must know to trust the fit."""
    standard = (whitened - whitened.mean()) / whitened.std()
    total = sum(variances.values())
    found = {
        "cells": len(table),
        "backbones": table["backbone"].nunique(),
        "datasets with their resolutions": table["dataset"].nunique(),
        "converged (1: yes)": float(converged),
        **{f"share of variance, {name}": value / total for name, value in variances.items()},
        "skewness of whitened residuals (normal: 0)": float((standard**3).mean()),
        "excess kurtosis of whitened residuals (normal: 0)": float((standard**4).mean() - 3),
        "largest whitened residual, in standard deviations": float(np.abs(standard).max()),
    }
    return pd.DataFrame({"measure": list(found), "value": list(found.values())})
