"""The paper's point in one figure: R squared pooled over epsilon, and at each epsilon."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import commonest_norm, epsilon_text
from robust_transfer.figures.results import PEARSON, groups_of, plain
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_text,
    datasets_of,
    mode_text,
)
from robust_transfer.figures.style import (
    COLOUR,
    epsilon_looks,
    in_style,
    legend,
    missing,
    note,
    panels,
)

PANEL = ["resolution", "mode", "source", "protocol", "origin"]
SHOWN = [*PANEL, "dataset", "norm", "epsilon", "n", "r", "r_squared"]
ROW, COLUMNS = 0.19, 2


def r_squared_data(pearson: pd.DataFrame) -> pd.DataFrame:
    """Choose the places with a pooled correlation and one at a single epsilon or more.

    Args:
        pearson: the rows of pearson.csv; several origins of one place stay apart.
    """
    table = commonest_norm(plain(pearson, PEARSON))
    table = table[np.isfinite(table["r_squared"].astype(float))]
    place = [*PANEL, "dataset", "norm"]
    groups = table.assign(pooled=table["epsilon"].isna()).groupby(place, dropna=False)["pooled"]
    both = groups.transform("any") & ~groups.transform("all")
    return table[both.astype(bool)].reindex(columns=SHOWN).reset_index(drop=True)


@in_style
def draw_r_squared(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw a row a dataset: a hollow square for the pooled R squared, a mark for each epsilon.

    Args:
        data: as `r_squared_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    blocks = [block for _, block in groups_of(data, PANEL)]
    blocks.sort(key=lambda block: (block["resolution"].iloc[0] != "native", -len(block)))
    columns = min(COLUMNS, len(blocks))
    rows = -(-len(blocks) // columns)
    most = max(block["dataset"].nunique() for block in blocks)
    figure, axes = panels(
        rows, columns, panel=(5.2 if columns == 1 else 2.75, ROW * (most + 0.6)), left=1.2,
        top=0.95, bottom=0.85, gap=(1.15, 0.55),
    )  # fmt: skip
    looks = epsilon_looks(list(data["epsilon"].dropna()))
    artists: dict[Any, Any] = {}
    for place, panel in enumerate(axes.flat):
        if place >= len(blocks):
            panel.remove()
            continue
        artists |= _panel(panel, blocks[place], looks, most, toy)
        panel.set_title(_title(blocks[place]))
    norm = str(data["norm"].iloc[0])
    pooled = artists.pop("pooled")
    legend(figure, [pooled, *(artists[e] for e in sorted(artists))],
           ["pooled over epsilon", *(f"epsilon {epsilon_text(e, norm)}" for e in sorted(artists))]
           )  # fmt: skip
    axis_caption(figure, "R squared of source and transfer accuracy")
    note(figure, _counts(data))
    return figure


def _title(block: pd.DataFrame) -> str:
    """Name a panel: mode, size, and which published table."""
    first = block.iloc[0]
    size = "" if first["resolution"] in ("native", None) else f" at {first['resolution']}"
    origin = str(first["origin"]).split(";")[0]
    more = origin.rsplit(", ", 1)[-1] if origin.count(", ") > 1 else ""
    return f"{mode_text(first['mode'])}{size}" + f", {more}" * bool(more)


def _panel(
    axes: Axes, block: pd.DataFrame, looks: dict[float, dict[str, Any]], most: int,
    toy: Collection[str],
) -> dict[Any, Any]:  # fmt: skip
    """Draw the rows of one panel; return a handle for each entry of the legend."""
    artists: dict[Any, Any] = {}
    datasets = datasets_of(block)
    for y, dataset in enumerate(datasets):
        rows = block[block["dataset"] == dataset]
        single, pooled = rows[rows["epsilon"].notna()], rows[rows["epsilon"].isna()]
        level = float(pooled["r_squared"].iloc[0])
        axes.plot([level, float(single["r_squared"].median())], [y, y], color=COLOUR["rule"],
                  linewidth=3, solid_capstyle="butt", zorder=1)  # fmt: skip
        for epsilon, points in groups_of(single, "epsilon"):
            artists[epsilon] = axes.plot(points["r_squared"], [y] * len(points), linestyle="none",
                                         **looks[epsilon], markersize=4, alpha=0.9)[0]  # fmt: skip
        artists["pooled"] = axes.plot(
            [level], [y], linestyle="none", marker="s", markersize=6, color=COLOUR["ink"],
            markerfacecolor=COLOUR["paper"], markeredgewidth=1.3, zorder=4,
        )[0]  # fmt: skip
    axes.set_yticks(range(len(datasets)), [dataset_text(name, toy) for name in datasets])
    axes.set(xlim=(-0.03, 1.03), ylim=(most - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    return artists


def _counts(data: pd.DataFrame) -> str:
    """Say how many networks stand behind each mark."""
    single, pooled = data[data["epsilon"].notna()]["n"], data[data["epsilon"].isna()]["n"]

    def span(n: pd.Series) -> str:
        return f"{n.min():.0f}" + f" to {n.max():.0f}" * int(n.nunique() > 1)

    return (
        f"n at one epsilon: {span(single)}; pooled: {span(pooled)}. With 3 or 4 networks a high R "
        "squared is easily had by chance: the table has p values."
    )
