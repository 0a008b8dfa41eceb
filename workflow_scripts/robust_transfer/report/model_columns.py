"""The columns of the tables beyond tests and accuracies: advice, equivalence, models, measures."""

from collections.abc import Collection
from typing import Any

import numpy as np

from robust_transfer.figures.cells import UNITS
from robust_transfer.figures.granularity import MEASURES
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.small_multiples import dataset_text
from robust_transfer.report.columns import (
    backbone,
    both_n,
    numeric,
    place,
    points,
    provenance,
    word,
)
from robust_transfer.report.tables import Cell, Column
from robust_transfer.report.words import count, number, p_text, resolution_text


def _percent(value: Any) -> str:
    return number(100 * value)


def _signed(value: Any) -> str:
    return number(100 * value, sign=True)


def _four(value: Any) -> str:
    """Spell a number of any size with four digits; a missing one as a dash."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}") if np.isfinite(value) else number(value)


def recommendation_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the ranking of candidates, over rows of recommendation.csv."""
    return [
        *place(toy),
        ("Recommended", False, lambda row: Cell("yes" if row.recommended == 1 else "", "")),
        *backbone(),
        ("Accuracy, %", True, numeric("accuracy", _percent, "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("P(best)", True, numeric("probability_best", lambda v: number(v, 2))),
        ("Regret, points", True, numeric("regret", lambda v: number(100 * v, 2))),
        ("Regret at most", True, numeric("regret_high", lambda v: number(100 * v, 2))),
        ("Validation, %", True, numeric("validation_accuracy", _percent)),
        ("Seconds", True, numeric("seconds", number)),
        ("Runs", True, numeric("n", count)),
        ("Drawn again", False, word("unit", lambda unit: UNITS.get(unit, unit))),
        ("Source", False, word("source")),
        ("Protocol", False, word("protocol")),
        ("Metric", False, word("metric", lambda metric: metric.replace("_", " "))),
    ]


def headline_columns(toy: Collection[str]) -> list[Column]:
    """Return the columns of the best robust beside the best standard backbone."""
    return [
        *place(toy),
        ("Best robust", False, word("best_robust")),
        ("Robust, %", True, numeric("accuracy_robust", lambda v: number(100 * v, 2))),
        ("Best standard", False, word("best_standard")),
        ("Standard, %", True, numeric("accuracy_standard", lambda v: number(100 * v, 2))),
        ("Difference, points", True,
         numeric("difference", lambda v: number(100 * v, 2, sign=True), "strong")),
        ("Chosen on", False, word("selected_on")),
        *provenance(),
    ]  # fmt: skip


def equivalence_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the tests of equivalence.

    Args:
        toy: names of the datasets that are toys.
        percent: coverage of the interval that goes with the two tests.
    """
    return [
        *place(toy),
        *backbone(),
        ("Placebo", False, lambda row: Cell("placebo" if row.placebo == 1 else "", "")),
        ("Found", False, word("verdict")),
        ("Difference, points", True, numeric("difference", _signed, "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("Bound", True, numeric("bound", _percent)),
        ("p equivalent", True, numeric("p_equivalent", p_text)),
        ("p equivalent (Holm)", True, numeric("p_equivalent_adjusted", p_text)),
        ("p different", True, numeric("p_value", p_text)),
        ("Smallest bound shown", True, numeric("detectable_bound", _percent)),
        ("n, each side", True, both_n),
        ("n counts", False,
         word("replicate", lambda unit: "" if unit == "none" else UNITS.get(unit, unit))),
        *provenance(),
        ("Note", False, word("note")),
    ]  # fmt: skip


def _model() -> list[Column]:
    """Return the columns that say which model a row is of."""
    return [
        ("Origin", False, word("origin")),
        ("Protocol", False, word("protocol")),
        ("Source", False, word("source")),
        ("Norm", False, word("norm", lambda norm: NORMS.get(norm, norm))),
    ]


def effect_columns(percent: str) -> list[Column]:
    """Return the columns of the fixed effects of the mixed model."""
    return [
        ("Effect", False, word("term")),
        ("Log-odds", True, numeric("estimate", lambda v: number(v, 3, sign=True), "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high", 3, 1)),
        ("Odds ratio", True, numeric("odds_ratio", lambda v: number(v, 3))),
        ("Standard error", True, numeric("standard_error", lambda v: number(v, 3))),
        ("p", True, numeric("p_value", p_text)),
        *_model(),
    ]


def diagnostic_columns() -> list[Column]:
    """Return the columns of what a reader must know to trust the mixed model."""
    return [
        ("What", False, word("measure")),
        ("Value", True, numeric("amount", _four, "strong")),
        *_model(),
        ("Note", False, word("note")),
    ]


def granularity_columns(toy: Collection[str]) -> list[Column]:
    """Return the columns of the measures of granularity."""
    return [
        ("Dataset", False, word("dataset", lambda name: dataset_text(name, toy))),
        ("Size", False, word("resolution", resolution_text)),
        *((title, True, numeric(name, _four)) for name, title in MEASURES.items()),
        ("Images measured", True, numeric("images", count)),
        ("Features of", False, word("backbone")),
    ]


def prediction_columns() -> list[Column]:
    """Return the columns of what predicts the best epsilon."""
    return [
        ("Measure", False, word("measure", lambda name: MEASURES.get(name, name))),
        ("Mode", False, word("mode")),
        ("Size", False, word("resolution", resolution_text)),
        ("Norm", False, word("norm", lambda norm: NORMS.get(norm, norm))),
        ("Left-out error, places", True, numeric("error", lambda v: number(v, 2), "strong")),
        ("Without a measure", True, numeric("error_of_median", lambda v: number(v, 2))),
        ("Gain, %", True, numeric("gain", lambda v: number(100 * v, 0, sign=True))),
        ("r", True, numeric("r", lambda v: number(v, 2))),
        ("p", True, numeric("p_value", p_text)),
        ("n datasets", True, numeric("n", count)),
        ("Source", False, word("source")),
        ("Protocol", False, word("protocol")),
        ("Origin", False, word("origin")),
        ("Note", False, word("note")),
    ]
