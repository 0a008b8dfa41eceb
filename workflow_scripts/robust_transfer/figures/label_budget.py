"""Accuracy against the number of labelled training images a class."""

from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from robust_transfer.figures.cells import epsilon_text, main_view, summarise
from robust_transfer.figures.results import groups_of
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_grid,
    datasets_of,
    modes_of,
)
from robust_transfer.figures.style import (
    empty_panel,
    epsilon_looks,
    in_style,
    legend,
    limits,
    missing,
    note,
)

#: Column of accuracy.csv: labelled training images a class; empty: all of them.
BUDGET = "label_budget"
SHOWN = ["dataset", "resolution", "mode", "line", "norm", "epsilon", BUDGET, "mean", "ci_low",
         "ci_high", "n", "replicate"]  # fmt: skip


def whole_budget(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows with all labels, or with the most that a dataset has.

    Args:
        accuracy: the rows of accuracy.csv.
    """
    if BUDGET not in accuracy:
        return accuracy
    most = accuracy.groupby("dataset")[BUDGET].transform("max")
    whole = accuracy[BUDGET].isna()
    some = accuracy.assign(whole=whole).groupby("dataset")["whole"].transform("any")
    return accuracy[whole | (~some & (accuracy[BUDGET] == most))]


def budget_data(accuracy: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Average the cells of each label budget.

    Args:
        accuracy: the rows of accuracy.csv; without the column `label_budget` nothing is shown.
        confidence: of the intervals.
    """
    if BUDGET not in accuracy or accuracy[BUDGET].nunique() < 2:
        return pd.DataFrame(columns=SHOWN)
    known = accuracy[accuracy[BUDGET].notna()]
    parts = [
        main_view(summarise(rows.drop(columns=BUDGET), confidence)).assign(**{BUDGET: budget})
        for budget, rows in groups_of(known, BUDGET)
    ]
    return pd.concat(parts, ignore_index=True)[SHOWN]


@in_style
def draw_budget(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw accuracy against labels a class, a curve an epsilon.

    Args:
        data: as `budget_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    looks = epsilon_looks(list(data["epsilon"]))
    figure, grid = dataset_grid(datasets_of(data), modes_of(data), toy)
    artists: dict[float, Any] = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            continue
        for (epsilon, _), curve in groups_of(panel, ["epsilon", "line"]):
            curve = curve.sort_values(BUDGET)
            drawn = axes.plot(curve[BUDGET], 100 * curve["mean"], **looks[epsilon])
            artists.setdefault(epsilon, drawn[0])
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = sorted(panel[BUDGET].unique())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_ylim(*limits(100 * panel["mean"], [], []))
    norm = str(data["norm"].iloc[0])
    legend(figure, [artists[e] for e in sorted(artists)],
           [f"epsilon {epsilon_text(e, norm)}" for e in sorted(artists)])  # fmt: skip
    axis_caption(figure, "labelled training images a class (log scale)")
    note(figure, "Each panel has its own range; intervals stand in the CSV.")
    return figure
