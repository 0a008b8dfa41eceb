"""The study on one page: four small panels that answer its four questions."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import epsilon_text, main_view
from robust_transfer.figures.granularity import LOOKS
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import dataset_text, listed, mode_text
from robust_transfer.figures.style import COLOUR, empty_panel, in_style, legend, missing, note

SHOWN = ["panel", "mode", "dataset", "words", "place", "value", "n"]
#: Most datasets named; of more, those of the largest differences.
MOST = 14
SIZE = (9.6, 6.6)


def summary_data(
    cells: pd.DataFrame, headline: pd.DataFrame, correlations: pd.DataFrame,
    recommendation: pd.DataFrame,
) -> pd.DataFrame:  # fmt: skip
    """Collect what the page shows, a row a mark.

    Args:
        cells: as `summarise` returns them.
        headline: the rows of headline.csv.
        correlations: as `r_squared_data` returns them.
        recommendation: the rows of recommendation.csv.

    Returns:
        `SHOWN`; `panel` is curve, best, correlation or recommendation.
    """
    rows = [*_curve(cells), *_best(headline), *_correlation(correlations)]
    rows += _recommended(recommendation)
    return pd.DataFrame(rows, columns=SHOWN)


def _curve(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Average the gain over standard of each epsilon over datasets and architectures.

    Only those with the most epsilons count: where some epsilons lack a weak architecture, or hold
    nothing but the winners, a mean over all would show who is present.
    """
    view = main_view(cells)
    keys = ["dataset", "mode", "line", "metric"]
    standard = view[view["epsilon"] == 0].groupby(keys, dropna=False)["mean"].mean()
    joined = view.join(standard.rename("standard"), on=keys)
    joined = joined.assign(gain=joined["mean"].astype(float) - joined["standard"].astype(float))
    joined = joined[joined["gain"].notna()]
    most = joined.groupby(keys, dropna=False)["epsilon"].transform("nunique")
    joined = joined[most == most.groupby(joined["mode"]).transform("max")]
    return [
        {"panel": "curve", "mode": mode, "words": epsilon_text(epsilon, group["norm"].iloc[0]),
         "place": epsilon, "value": group["gain"].mean(), "n": len(group)}
        for (mode, epsilon), group in groups_of(joined, ["mode", "epsilon"])
    ]  # fmt: skip


def _best(headline: pd.DataFrame) -> list[dict[str, Any]]:
    """Take the best robust minus the best standard backbone of each dataset and mode."""
    table = headline[headline["difference"].notna()]
    if table.empty:
        return []
    native = table[table["resolution"] == "native"]
    table = native if len(native) else table
    group = table.groupby("origin", dropna=False)["difference"].transform("size")
    table = table[group == group.max()].drop_duplicates(["mode", "dataset"])
    return [
        {"panel": "best", "mode": row.mode, "dataset": row.dataset, "words": row.best_robust,
         "value": row.difference}
        for row in rows_of(table)
    ]  # fmt: skip


def _correlation(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Take every R squared, pooled and at one epsilon."""
    return [
        {"panel": "correlation", "mode": row.mode, "dataset": row.dataset, "value": row.r_squared,
         "words": "at one epsilon" if np.isfinite(row.epsilon) else "pooled", "n": row.n}
        for row in rows_of(table)
    ]  # fmt: skip


def _recommended(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Take the recommended candidate of each dataset."""
    return [
        {"panel": "recommendation", "mode": row.mode, "dataset": row.dataset, "n": row.n,
         "words": recommended_text(row), "place": row.resolution if row.resolution != "native"
         else "", "value": row.probability_best}
        for row in rows_of(table[table["recommended"] == 1])
    ]  # fmt: skip


def recommended_text(row: Any) -> str:
    """Spell a candidate: "robust L2 0.25, full network"."""
    kind = "standard"
    if row.epsilon > 0:
        norm = {"l2": "L2", "linf": "L\N{INFINITY}"}.get(str(row.norm), str(row.norm))
        kind = f"robust {norm} {epsilon_text(row.epsilon, row.norm)}"
    return f"{row.architecture}, {kind}, {mode_text(row.mode).lower()}"


@in_style
def draw_summary(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw the page.

    Args:
        data: as `summary_data` returns it; a panel without rows says so.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data at all.
    """
    if data.empty:
        return missing(nothing)
    figure = Figure(figsize=SIZE)
    grid = figure.add_gridspec(2, 2, left=0.13, right=0.985, top=0.9, bottom=0.1, wspace=0.3,
                               hspace=0.34, height_ratios=[1.15, 1])  # fmt: skip
    parts = {name: data[data["panel"] == name] for name in
             ("best", "curve", "correlation", "recommendation")}  # fmt: skip
    titles = {"best": "Best robust minus best standard, points",
              "curve": "Mean gain over standard by epsilon, points",
              "correlation": "R squared of source and transfer accuracy",
              "recommendation": "What validation recommends"}  # fmt: skip
    for place, (name, part) in enumerate(parts.items()):
        axes = figure.add_subplot(grid[divmod(place, 2)])
        axes.set_title(titles[name])
        if part.empty:
            empty_panel(axes, NOTHING[name])
        else:
            DRAW[name](axes, part, toy)
    handles = {mode: figure.axes[0].plot([], [], linestyle="none", **LOOKS[mode])[0]
               for mode in LOOKS}  # fmt: skip
    legend(figure, list(handles.values()), [mode_text(mode) for mode in handles])
    note(figure, "Means over datasets and architectures at native size; no interval is shown here: "
         "see the tables. R squared: large marks pooled over epsilon, small ones at one epsilon."
         )  # fmt: skip
    return figure


NOTHING = {
    "best": "no robust beside a standard backbone",
    "curve": "no gain over standard is known",
    "correlation": "too few networks to correlate",
    "recommendation": "no predictions of our own to recommend from",
}


def _draw_best(axes: Axes, part: pd.DataFrame, toy: Collection[str]) -> None:
    """Draw a row a dataset, a mark a mode."""
    size = part.groupby("dataset")["value"].agg(lambda v: v.abs().max())
    datasets = sorted(size.sort_values(ascending=False).index[:MOST])
    for mode, rows in groups_of(part[part["dataset"].isin(datasets)], "mode"):
        axes.plot(100 * rows["value"].astype(float), rows["dataset"].map(datasets.index),
                  linestyle="none", **LOOKS[mode], markersize=5)  # fmt: skip
    axes.axvline(0, color=COLOUR["ink"], linewidth=0.9)
    axes.set_yticks(range(len(datasets)), [dataset_text(name, toy) for name in datasets])
    axes.set_ylim(len(datasets) - 0.4, -0.6)
    axes.grid(visible=True, axis="both")
    if len(size) > MOST:
        axes.set_xlabel(f"the {MOST} largest of {len(size)} datasets")


def _draw_curve(axes: Axes, part: pd.DataFrame, toy: Collection[str]) -> None:
    """Draw the mean gain against epsilon, a line a mode."""
    del toy
    places = sorted({float(place) for place in part["place"]})
    words = dict(zip(part["place"].astype(float), part["words"], strict=True))
    for mode, rows in groups_of(part, "mode"):
        x = [places.index(float(place)) for place in rows["place"]]
        axes.plot(x, 100 * rows["value"].astype(float), **LOOKS[mode])
    axes.axhline(0, color=COLOUR["ink"], linewidth=0.9)
    axes.set_xticks(range(len(places)), [words[place] for place in places])
    axes.set_xlabel("epsilon of pretraining (in order, not to scale)")


def _draw_correlation(axes: Axes, part: pd.DataFrame, toy: Collection[str]) -> None:
    """Draw all R squared of each mode: pooled and at one epsilon."""
    del toy
    rows = [(mode, kind) for mode in LOOKS for kind in ("pooled", "at one epsilon")
            if ((part["mode"] == mode) & (part["words"] == kind)).any()]  # fmt: skip
    for y, (mode, kind) in enumerate(rows):
        values = part[(part["mode"] == mode) & (part["words"] == kind)]["value"].astype(float)
        spread = np.linspace(-0.26, 0.26, len(values)) if len(values) > 1 else np.zeros(1)
        look = LOOKS[mode] | {"markersize": 5 if kind == "pooled" else 2.6, "alpha": 0.8}
        axes.plot(values, y + spread, linestyle="none", **look)
        axes.plot([values.median()] * 2, [y - 0.36, y + 0.36], color=COLOUR["ink"], linewidth=1.6)
    names = [f"{mode_text(mode)},\n{kind}" for mode, kind in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("a mark a dataset and table; line: median")
    axes.grid(visible=True, axis="x")


def _draw_recommendation(axes: Axes, part: pd.DataFrame, toy: Collection[str]) -> None:
    """Write a line a dataset: what to take, and how likely it is the best."""
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    axes.spines[:].set_visible(False)
    shown = part.head(MOST // 2)
    for y, row in zip(np.linspace(0.93, 0.12, MOST // 2), rows_of(shown), strict=False):
        size = f" at {row.place}" if row.place else ""
        axes.text(0, y, f"{dataset_text(row.dataset, toy)}{size}", fontsize=7.5, weight="bold")
        axes.text(0, y - 0.055, f"{row.words}; the best with probability {row.value:.2f}",
                  fontsize=7, color=COLOUR["muted"])  # fmt: skip
    if len(part) > len(shown):
        rest = list(part["dataset"].iloc[len(shown) :])
        axes.text(0, 0, f"and {listed(rest)}: see the table", fontsize=7, color=COLOUR["muted"])


DRAW = {"best": _draw_best, "curve": _draw_curve, "correlation": _draw_correlation,
        "recommendation": _draw_recommendation}  # fmt: skip
