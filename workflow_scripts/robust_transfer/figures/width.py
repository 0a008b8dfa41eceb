"""Accuracy against the width of the network, within families that differ by width alone."""

import re
from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from robust_transfer.figures.cells import epsilon_text, main_view
from robust_transfer.figures.results import groups_of
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_grid,
    datasets_of,
    modes_of,
)
from robust_transfer.figures.style import (
    COLOUR,
    empty_panel,
    epsilon_looks,
    in_style,
    legend,
    limits,
    missing,
    note,
)

#: Width of a `resnet_small` whose name gives none.
SMALL = 16
SHOWN = ["dataset", "resolution", "mode", "family", "width", "architecture", "norm", "epsilon",
         "mean", "ci_low", "ci_high", "n", "replicate", "origin"]  # fmt: skip


def family_of(architecture: str) -> tuple[str, float]:
    """Return the family of a network and its width in it.

    Args:
        architecture: such as `wide_resnet50_2` (twice as wide as `resnet50`), `resnet_small_w8`.

    Returns:
        The family and the width: times the plain network's, or channels for `resnet_small`.
    """
    if found := re.fullmatch(r"wide_(resnet\d+)_(\d+)", architecture):
        return found[1], float(found[2])
    if found := re.fullmatch(r"resnet_small(?:_w(\d+))?", architecture):
        return "resnet_small", float(found[1] or SMALL)
    return architecture, 1.0


def width_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the cells of families with two widths or more.

    Args:
        cells: as `summarise` returns them.
    """
    view = main_view(cells)
    known = view["architecture"].astype(str).map(family_of)
    view = view.assign(family=known.map(lambda f: f[0]), width=known.map(lambda f: f[1]))
    wide = view.groupby("family")["width"].transform("nunique") > 1
    return view[wide.astype(bool)].reindex(columns=SHOWN).reset_index(drop=True)


@in_style
def draw_width(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw accuracy against width, a panel a dataset and mode, a curve an epsilon.

    Args:
        data: as `width_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    looks = epsilon_looks(list(data["epsilon"]))
    widths = sorted(data["width"].unique())
    figure, grid = dataset_grid(datasets_of(data), modes_of(data), toy)
    artists: dict[float, Any] = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            continue
        for (epsilon, _), curve in groups_of(panel, ["epsilon", "family"]):
            curve = curve.sort_values("width")
            x = [widths.index(width) for width in curve["width"]]
            style = {"color": COLOUR["muted"], "linestyle": "--"} if epsilon == 0 else {}
            drawn = axes.plot(x, 100 * curve["mean"], **(looks[epsilon] | style))
            artists.setdefault(epsilon, drawn[0])
        axes.set_xticks(range(len(widths)), [f"{width:g}" for width in widths])
        axes.set_xlim(-0.3, len(widths) - 0.7)
        axes.set_ylim(*limits(100 * panel["mean"], [], []))
    norm = str(data["norm"].iloc[0])
    ordered = sorted(artists)
    legend(figure, [artists[e] for e in ordered],
           [f"epsilon {epsilon_text(e, norm)}" for e in ordered])  # fmt: skip
    families = sorted(data["family"].unique())
    unit = "channels" if families == ["resnet_small"] else f"times {', '.join(families)}"
    axis_caption(figure, f"width of the network ({unit})")
    note(figure, "Each panel has its own range; intervals stand in the CSV.")
    return figure
