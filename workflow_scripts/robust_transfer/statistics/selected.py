"""The best robust epsilon against standard, with the choosing inside the test.

Whoever takes the best of several epsilons also takes the luck of that one. So each replicate's
epsilon is chosen by the validation accuracies of all other replicates, and the replicate gives its
test accuracy at it: its own luck has no say, and no test accuracy chooses anything. Under the null
hypothesis these values have the mean of standard ones, whatever the number of epsilons, and Welch's
test of them accounts for the choosing (docs/statistics.md has the simulated level).
"""

from collections import Counter
from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.statistics.replicates import (
    COMPARED,
    by_pretraining,
    by_transfer,
    comparisons,
)
from robust_transfer.statistics.tables import make_table
from robust_transfer.statistics.welch import COLUMNS as WELCH
from robust_transfer.statistics.welch import adjusted, compared_row, welch

#: Columns of welch_selected.csv: those of welch.csv, and what was chosen from what.
COLUMNS = (*WELCH[:18], "chosen", "candidates", *WELCH[18:])


def selected_table(
    accuracy: pd.DataFrame, *, confidence: float, tests: Collection[str] = ("welch",)
) -> pd.DataFrame:
    """Test the validation-chosen robust backbone against standard.

    Args:
        accuracy: rows of accuracy.csv.
        confidence: of the intervals.
        tests: names of the tests wanted; without "welch" the table is empty.

    Returns:
        `COLUMNS`, one row a place. `epsilon` is the one chosen most often (the smallest of equals),
        `chosen` counts the choices, `candidates` lists what could be chosen. Without validation
        accuracies (published numbers), or with a single replicate, nothing is chosen, and the row
        says so.
    """
    rows = []
    for place, robust, standard in comparisons(accuracy) if "welch" in tests else ():
        rows.append(place | _row(robust, standard, confidence))
    order = ["origin", "mode", "dataset", "resolution", "architecture", "norm"]
    return adjusted(make_table(rows, COLUMNS)).sort_values(
        [*order, *(name for name in COMPARED if name not in order)], kind="stable"
    ).reset_index(drop=True)  # fmt: skip


def _row(robust: pd.DataFrame, standard: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Choose, compare and say how."""
    candidates = sorted(robust["epsilon"].unique())
    named = {"candidates": ";".join(f"{epsilon:g}" for epsilon in candidates)}
    chosen, control, unit, note = _choose(robust, standard)
    if chosen is None:
        return named | {"replicate": "none", "note": note}
    compared = welch(
        chosen["accuracy"].to_numpy(dtype=np.float64),
        control.to_numpy(dtype=np.float64),
        confidence=confidence,
    )
    counts = Counter(float(epsilon) for epsilon in chosen["epsilon"])
    commonest = min(counts, key=lambda epsilon: (-counts[epsilon], epsilon))
    words = ";".join(f"{epsilon:g} x{counts[epsilon]}" for epsilon in sorted(counts))
    unit = unit if min(len(chosen), len(control)) > 1 else "none"
    row = compared_row(compared, unit=unit, note=note, level=1 - confidence)
    if unit == "none":
        row["note"] = compared.note
    return row | named | {"epsilon": commonest, "chosen": words}


def _choose(
    robust: pd.DataFrame, standard: pd.DataFrame
) -> tuple[pd.DataFrame | None, pd.Series, str, str]:
    """Return the choice of each replicate, the standard replicates, the unit and a note."""
    nothing = standard["accuracy"]
    if standard.empty:
        return None, nothing, "none", "no standard backbone here"
    if robust["validation_accuracy"].isna().any():
        return None, nothing, "none", "no validation accuracies: no epsilon was chosen"
    whole = _complete(robust, "pretrain_seed")
    control = by_pretraining(standard)
    if min(len(whole), len(control)) >= 2:
        kept = robust[robust["pretrain_seed"].isin(whole)]
        return _choices(kept, "pretrain_seed"), control, "pretrain_seed", ""
    if not whole:
        return None, nothing, "none", "no pretrain seed has every epsilon"
    common = sorted(set(whole) & set(standard["pretrain_seed"].dropna()), key=str)
    seed = common[0] if common else whole[0]
    kept = robust[robust["pretrain_seed"] == seed]
    other = seed if common else standard["pretrain_seed"].min()
    control = by_transfer(standard[standard["pretrain_seed"] == other])
    kept = kept[kept["transfer_seed"].isin(_complete(kept, "transfer_seed"))]
    note = f"conditional on the backbones of pretrain seed {seed}" + (
        "" if other == seed else f" (robust) and {other} (standard)")  # fmt: skip
    choices = _choices(kept, "transfer_seed")
    if choices is None:
        return None, nothing, "none", "a single replicate: no epsilon was chosen"
    return choices, control, "transfer_seed", note


def _complete(rows: pd.DataFrame, unit: str) -> list[Hashable]:
    """Return the seeds of a unit that have every epsilon."""
    wanted = rows["epsilon"].nunique()
    have = rows.groupby(unit)["epsilon"].nunique()
    return list(have[have == wanted].index)


def _choices(rows: pd.DataFrame, unit: str) -> pd.DataFrame | None:
    """Return epsilon and test accuracy of each replicate's choice; None for one replicate."""
    means = rows.groupby([unit, "epsilon"])[["validation_accuracy", "accuracy"]].mean()
    validation = means["validation_accuracy"].unstack("epsilon")
    if len(validation) < 2:
        return None
    chosen = choose_by_others(validation.to_numpy(dtype=np.float64))
    test = means["accuracy"].unstack("epsilon").to_numpy(dtype=np.float64)
    return pd.DataFrame({
        "epsilon": validation.columns.to_numpy(dtype=np.float64)[chosen],
        "accuracy": test[np.arange(len(test)), chosen],
    })  # fmt: skip


def choose_by_others(validation: np.ndarray) -> np.ndarray:
    """Choose for each replicate what is best on average for all others.

    Args:
        validation: (n, k) accuracies of n replicates, at least 2, and k choices.

    Returns:
        (n,) the choice for each replicate; of equal ones, the first.
    """
    others = (validation.sum(axis=0) - validation) / (len(validation) - 1)
    # Equal means may differ by rounding; the first must win all the same.
    return (others >= others.max(axis=1, keepdims=True) - 1e-12).argmax(axis=1)
