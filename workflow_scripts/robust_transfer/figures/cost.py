"""What accuracy costs: seconds of a transfer, and of the pretraining before it."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robust_transfer.figures.cells import epsilon_text, main_view
from robust_transfer.figures.results import groups_of
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_text,
    datasets_of,
    mode_text,
    panel_width,
)
from robust_transfer.figures.style import (
    COLOUR,
    epsilon_looks,
    in_style,
    legend,
    limits,
    missing,
    note,
    panels,
)

SHOWN = [
    "dataset",
    "resolution",
    "mode",
    "line",
    "norm",
    "epsilon",
    "seconds",
    "mean",
    "ci_low",
    "ci_high",
    "n",
    "replicate",
]


def cost_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the cells whose transfer was timed.

    Args:
        cells: as `summarise` returns them; `seconds` is the mean of a transfer.
    """
    view = main_view(cells)
    return view[view["seconds"].astype(float) > 0][SHOWN].reset_index(drop=True)


@in_style
def draw_cost(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw accuracy against the seconds of one transfer, a panel a dataset.

    Args:
        data: as `cost_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    datasets = datasets_of(data)
    columns = min(5, len(datasets))
    rows = -(-len(datasets) // columns)
    wide = panel_width(columns)
    figure, axes = panels(rows, columns, panel=(wide, 1.6), bottom=0.85)
    looks = epsilon_looks(list(data["epsilon"]))
    lines = sorted(set(data["line"]))
    fills = {line: _fill(place) for place, line in enumerate(lines)}
    artists: dict[str, Any] = {}
    span = data["seconds"].min() / 1.6, data["seconds"].max() * 1.6
    for place, panel in enumerate(axes.flat):
        if place >= len(datasets):
            panel.remove()
            continue
        part = data[data["dataset"] == datasets[place]]
        for (mode, epsilon, line), points in groups_of(part, ["mode", "epsilon", "line"]):
            look = looks[epsilon] | fills[line]
            artists |= _points(panel, points, look, mode == "full", epsilon)
        panel.set_title(dataset_text(datasets[place], toy))
        panel.set_xscale("log")
        panel.set_xlim(*span)
        panel.minorticks_off()
        panel.set_xticks(*_ticks(span))
        panel.set_ylim(*limits(100 * part["mean"], 100 * part["ci_low"], 100 * part["ci_high"]))
        if place % columns == 0:
            panel.set_ylabel("accuracy, %")
    if len(lines) > 1:
        shape = {"color": COLOUR["ink"], "marker": "o", "linestyle": "none"}
        artists |= {line: Line2D([], [], **(shape | fills[line])) for line in lines}
    legend(figure, list(artists.values()), list(artists))
    axis_caption(figure, "seconds of one transfer (log scale)")
    note(
        figure,
        "Small marks: "
        + mode_text("fixed").lower()
        + "; large marks: "
        + mode_text("full").lower()
        + ". Whiskers as in the curves. Times are this machine's.",
    )
    return figure


def _fill(place: int) -> dict[str, Any]:
    """Tell lines (protocols, say) apart by the filled half of their marks; the first has whole."""
    if not place:
        return {}
    half = ("left", "bottom", "right", "top")[(place - 1) % 4]
    return {"fillstyle": half, "markerfacecolor": None, "markerfacecoloralt": COLOUR["paper"]}


def _points(
    axes: Any, points: pd.DataFrame, look: Mapping[str, Any], large: bool, epsilon: float
) -> dict[str, Any]:
    """Draw the points of one mode and epsilon; return the handle of its legend entry."""
    axes.vlines(
        points["seconds"],
        100 * points["ci_low"],
        100 * points["ci_high"],
        color=look["color"],
        linewidth=0.9,
        alpha=0.5,
    )
    drawn = axes.plot(
        points["seconds"],
        100 * points["mean"],
        linestyle="none",
        **look,
        markersize=7 if large else 4.2,
    )[0]
    name = f"epsilon {epsilon_text(epsilon, points['norm'].iloc[0])}"
    return {} if "fillstyle" in look else {name: drawn}


def _ticks(span: tuple[float, float]) -> tuple[list[float], list[str]]:
    """Choose at most four round numbers inside a logarithmic range."""
    powers = range(int(np.floor(np.log10(span[0]))), int(np.ceil(np.log10(span[1]))) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [s * 10.0**p for p in powers for s in steps if span[0] <= s * 10.0**p <= span[1]]
        if len(ticks) <= 4:
            break
    return ticks, [f"{tick:g}" for tick in ticks]
