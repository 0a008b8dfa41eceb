"""pearson.csv: does accuracy on the source predict accuracy after transfer?"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.statistics.pearson import partial, pearson
from robust_transfer.statistics.replicates import with_standards
from robust_transfer.statistics.tables import make_table

#: Columns of pearson.csv: those that others rely on, then the rest. An empty epsilon: pooled.
COLUMNS = (
    "mode", "dataset", "resolution", "norm", "epsilon", "n", "r", "ci_low", "ci_high", "p_value",
    "r_squared", "unit", "p_method", "p_t", "within_r", "within_ci_low", "within_ci_high",
    "within_p_value", "partial_r", "partial_p_value", "source", "protocol", "metric", "origin",
    "note",
)  # fmt: skip
PLACE = ("mode", "dataset", "resolution", "norm", "source", "protocol", "metric", "origin")
#: From this many architectures on, an architecture counts once and its pretrainings are averaged.
ARCHITECTURES = 3


def pearson_table(
    accuracy: pd.DataFrame, *, confidence: float, tests: Collection[str] = ("pearson",)
) -> pd.DataFrame:
    """Correlate source accuracy with transfer accuracy, pooled and at each epsilon.

    Args:
        accuracy: rows of accuracy.csv.
        confidence: of the intervals.
        tests: names of the tests wanted; without "pearson" the table is empty.

    Returns:
        `COLUMNS`. For each place a pooled row, then one an epsilon. What n counts is `unit`: the
        backbone (the mean over transfer seeds), or the architecture (the mean over pretrainings
        too) where there are at least 3. Pooled rows also hold the correlation given epsilon:
        `within_*` with epsilon as a category (deviations from the mean at each epsilon),
        `partial_*` with epsilon as a number.
    """
    if "pearson" not in tests:
        return make_table([], COLUMNS)
    rows = []
    table = with_standards(accuracy)
    table = table[table["source_accuracy"].notna()]
    for key, group in table.groupby(list(PLACE), dropna=False, sort=True):
        place = dict(zip(PLACE, key, strict=True))
        points, unit = _points(group)
        rows.append(place | {"unit": unit} | _row(points, confidence) | _given(points, confidence))
        for epsilon, at_epsilon in points.groupby("epsilon"):
            row = _row(at_epsilon, confidence)
            rows.append(place | {"unit": unit, "epsilon": epsilon} | row)
    order = ["origin", "mode", "dataset", "resolution", "norm", "source", "protocol", "metric"]
    return (
        make_table(rows, COLUMNS)
        .sort_values([*order, "epsilon"], kind="stable", na_position="first")
        .reset_index(drop=True)
    )


def _points(group: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return one row a unit with `epsilon`, `source_accuracy`, `accuracy`, and the unit's name."""
    both = ["source_accuracy", "accuracy"]
    backbone = ["architecture", "epsilon", "pretrain_seed"]
    points = group.groupby(backbone, dropna=False)[both].mean().reset_index()
    if points["architecture"].nunique() < ARCHITECTURES:
        return points, "backbone"
    return points.groupby(["architecture", "epsilon"])[both].mean().reset_index(), "architecture"


def _row(points: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Correlate some points."""
    found = pearson(
        points["source_accuracy"].to_numpy(), points["accuracy"].to_numpy(), confidence=confidence
    )
    return vars(found) | {"r_squared": found.r**2}


def _given(points: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Correlate some points given epsilon, as a category and as a number."""
    epsilon = points["epsilon"].to_numpy(dtype=np.float64)
    if len(np.unique(epsilon)) < 2:
        return {}
    x, y = points["source_accuracy"].to_numpy(), points["accuracy"].to_numpy()
    levels = (epsilon[:, None] == np.unique(epsilon)[1:]).astype(np.float64)
    within = partial(x, y, levels, confidence=confidence)
    linear = partial(x, y, epsilon, confidence=confidence)
    return {
        "within_r": within.r, "within_ci_low": within.ci_low, "within_ci_high": within.ci_high,
        "within_p_value": within.p_value, "partial_r": linear.r, "partial_p_value": linear.p_value,
    }  # fmt: skip
