"""Robust against standard: a bar a comparison, with the interval of the difference."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.heat import FROM, draw_heat
from robust_transfer.figures.results import rows_of
from robust_transfer.figures.small_multiples import axis_caption, dataset_text, mode_text, modes_of
from robust_transfer.figures.style import COLOUR, in_style, legend, limits, missing, note, panels
from robust_transfer.figures.verdicts import KINDS, LOOKS, with_verdicts

SHOWN = [
    "mode",
    "dataset",
    "resolution",
    "line",
    "norm",
    "epsilon",
    "difference",
    "ci_low",
    "ci_high",
    "n_robust",
    "n_standard",
    "replicate",
    "p_adjusted",
    "verdict",
]
BAR = 0.155


def difference_data(welch: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Choose what the bars show: every comparison of welch.csv with its verdict.

    Args:
        welch: the rows of welch.csv.
        alpha: level of the tests.
    """
    order = ["line", "mode", "dataset", "resolution", "norm", "epsilon"]
    return with_verdicts(welch, alpha).sort_values(order)[SHOWN].reset_index(drop=True)


@in_style
def draw_differences(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw the difference robust minus standard, a column of bars a mode; many as a heat table.

    Args:
        data: as `difference_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.

    Returns:
        The figure; colour and hatch both say the verdict after Holm's adjustment.
    """
    drawn = data[data["difference"].notna()]
    if drawn.empty:
        return missing(nothing)
    if len(drawn) >= FROM:
        return draw_heat(drawn, toy=toy)
    modes = modes_of(drawn)
    keys = ["line", "dataset", "resolution", "norm", "epsilon"]
    rows = drawn[keys].drop_duplicates().sort_values(keys).reset_index(drop=True)
    places = _places(rows)
    figure, axes = panels(
        1,
        len(modes),
        panel=(2.9, BAR * (places[-1] + 1.6)),
        left=1.75,
        top=0.55,
        bottom=0.85,
        gap=(0.45, 0.3),
    )
    span = limits(100 * drawn["difference"], 100 * drawn["ci_low"], 100 * drawn["ci_high"])
    for column, mode in enumerate(modes):
        panel = axes[0, column]
        part = rows.assign(place=places).merge(drawn[drawn["mode"] == mode], on=keys, how="left")
        _bars(panel, part, span)
        panel.set_title(mode_text(mode))
        panel.set_ylim(places[-1] + 0.9, -0.9)
        panel.set_yticks(places, [epsilon_text(r.epsilon, r.norm) for r in rows_of(rows)])
        panel.tick_params(axis="y", length=0, labelsize=7)
        panel.spines["left"].set_visible(False)
        panel.grid(axis="x")
        panel.grid(visible=False, axis="y")
    _name_datasets(axes[0, 0], rows, places, toy)
    seen = [kind for kind in KINDS if kind in set(drawn["verdict"])]
    legend(figure, [Patch(**LOOKS[kind]) for kind in seen], [KINDS[kind] for kind in seen])
    axis_caption(figure, "robust minus standard, percentage points")
    note(
        figure,
        "Whiskers: interval of the difference, not adjusted; verdict: Holm-adjusted. "
        "A whisker that reaches the edge goes on beyond it.",
    )
    return figure


def _places(rows: pd.DataFrame) -> list[float]:
    """Space rows by 1, with a gap between datasets and a wider one between lines."""
    dataset = rows["dataset"].ne(rows["dataset"].shift()) | rows["resolution"].ne(
        rows["resolution"].shift()
    )
    line = rows["line"].ne(rows["line"].shift())
    steps = 1 + 0.7 * dataset + 0.8 * line
    return list(np.cumsum(steps) - steps.iloc[0])


def _name_datasets(
    axes: Axes, rows: pd.DataFrame, places: list[float], toy: Collection[str]
) -> None:
    """Write the dataset beside the first of its rows, left of the epsilons."""
    many, before = rows["line"].nunique() > 1, None
    axes.annotate(
        "epsilon",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-4, 4),
        ha="right",
        textcoords="offset points",
        fontsize=7,
        color=COLOUR["muted"],
    )
    for row, place in zip(rows_of(rows), places, strict=True):
        head = (row.line, row.dataset, row.resolution)
        if head != before:
            size = "" if row.resolution in ("native", None) else f" at {row.resolution}"
            name = f"{row.line}, " * many + dataset_text(row.dataset, toy) + size
            axes.annotate(
                name,
                (0, place),
                xycoords=("axes fraction", "data"),
                xytext=(-44, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=7.5,
            )
        before = head


def _bars(axes: Axes, part: pd.DataFrame, span: tuple[float, float]) -> None:
    """Draw bars, whiskers cut at the axis range, and a cross where a comparison is missing."""
    axes.axvline(0, color=COLOUR["ink"], linewidth=0.9, zorder=3)
    for row in rows_of(part):
        if not np.isfinite(row.difference):
            axes.text(
                0.0, row.place, " no result", fontsize=6.5, va="center", color=COLOUR["muted"]
            )
            continue
        axes.barh(row.place, 100 * row.difference, height=0.72, **LOOKS[row.verdict])
        if np.isfinite(row.ci_low):
            ends = np.clip([100 * row.ci_low, 100 * row.ci_high], *span)
            axes.plot(ends, [row.place] * 2, color=COLOUR["ink"], linewidth=0.9, zorder=4)
    axes.set_xlim(*span)
