"""Accuracy against the number of labelled training images a class."""

from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robust_transfer.figures.cells import epsilon_text, main_view, summarise
from robust_transfer.figures.results import ACCURACY, groups_of, plain
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_grid,
    datasets_of,
    modes_of,
)
from robust_transfer.figures.style import (
    COLOUR,
    DASHES,
    empty_panel,
    epsilon_looks,
    in_style,
    legend,
    limits,
    missing,
    note,
)
from robust_transfer.statistics.main_rows import ALL, is_main

#: Column of accuracy.csv: labelled training images a class that were asked for, or `all`.
BUDGET = "label_budget"
#: How many there were on average: classes may have fewer.
LABELLED = "labelled_a_class"
PLACE = ["dataset", "mode"]
SHOWN = ["dataset", "resolution", "mode", "line", "norm", "epsilon", BUDGET, LABELLED, "mean",
         "ci_low", "ci_high", "n", "replicate"]  # fmt: skip


def budget_data(accuracy: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Average the cells of each label budget.

    Args:
        accuracy: the rows of accuracy.csv; controls and few trained blocks are left out, and so
            are places with a single budget.
        confidence: of the intervals.
    """
    table = plain(accuracy, ACCURACY)
    table = table.assign(**{BUDGET: table[BUDGET].astype(object).fillna(ALL).astype(str)})
    table = table[is_main(table.drop(columns=BUDGET)) & table["labelled_images"].notna()]
    parts = [pd.DataFrame(columns=SHOWN)]
    for budget, rows in groups_of(table, BUDGET):
        cells = main_view(summarise(rows, confidence))
        shares = rows["labelled_images"].astype(float) / rows["classes"].astype(float)
        labelled = shares.groupby([rows[name] for name in PLACE]).mean()
        places = pd.MultiIndex.from_frame(cells[PLACE])
        parts.append(cells.assign(**{BUDGET: budget, LABELLED: labelled.loc[places].to_numpy()}))
    data = pd.concat([part for part in parts if len(part)] or parts)[SHOWN].reset_index(drop=True)
    several = data.groupby(PLACE)[BUDGET].transform("nunique") > 1
    return data[several.astype(bool)].reset_index(drop=True)


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
    lines = sorted(set(data["line"]))
    dashes = {line: DASHES[place % len(DASHES)] for place, line in enumerate(lines)}
    figure, grid = dataset_grid(datasets_of(data), modes_of(data), toy)
    artists: dict[float, Any] = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            continue
        for (epsilon, line), curve in groups_of(panel, ["epsilon", "line"]):
            curve = curve.sort_values(LABELLED)
            drawn = axes.plot(curve[LABELLED], 100 * curve["mean"], linestyle=dashes[line],
                              **looks[epsilon])  # fmt: skip
            artists.setdefault(epsilon, drawn[0])
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = sorted(panel[LABELLED].unique())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_ylim(*limits(100 * panel["mean"], [], []))
    norm = str(data["norm"].iloc[0])
    shown = {f"epsilon {epsilon_text(e, norm)}": artists[e] for e in sorted(artists)}
    if len(lines) > 1:
        shown |= {line: Line2D([], [], color=COLOUR["ink"], linestyle=dashes[line])
                  for line in lines}  # fmt: skip
    legend(figure, list(shown.values()), list(shown))
    axis_caption(figure, "labelled training images a class (log scale)")
    note(figure, "Each panel has its own range; intervals stand in the CSV.")
    return figure
