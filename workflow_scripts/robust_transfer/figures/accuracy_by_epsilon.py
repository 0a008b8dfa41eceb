"""Accuracy against the epsilon of pretraining, and the same at 32x32."""

from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import commonest_norm, epsilon_text, main_view, with_lines
from robust_transfer.figures.results import groups_of
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_grid,
    datasets_of,
    listed,
    mode_text,
    modes_of,
)
from robust_transfer.figures.style import (
    COLOUR,
    empty_panel,
    in_style,
    legend,
    limits,
    line_looks,
    missing,
    note,
)

SHOWN = [
    "dataset",
    "resolution",
    "mode",
    "line",
    "norm",
    "epsilon",
    "mean",
    "ci_low",
    "ci_high",
    "n",
    "replicate",
    "replicates",
]


def accuracy_by_epsilon_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the cells of the curves: one resolution a dataset, one norm.

    Args:
        cells: as `summarise` returns them.
    """
    return main_view(cells)[SHOWN].reset_index(drop=True)


def resolution_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the datasets that were measured at more than one resolution.

    Args:
        cells: as `summarise` returns them.
    """
    chosen = with_lines(commonest_norm(cells))
    chosen = chosen[chosen.groupby("dataset")["resolution"].transform("nunique") > 1]
    words = (
        chosen["line"].astype(str)
        + ", "
        + chosen["resolution"].astype(str).map(lambda r: "native" if r == "native" else f"{r}x{r}")
    )
    return chosen.assign(line=words)[SHOWN].reset_index(drop=True)


@in_style
def draw_curves(
    data: pd.DataFrame,
    *,
    toy: Collection[str] = (),
    nothing: str,
    quantity: str = "accuracy, %",
    references: Collection[str] = (),
) -> Figure:
    """Draw accuracy against epsilon: one panel a dataset and mode, one curve a `line`.

    Args:
        data: as `accuracy_by_epsilon_data` or `resolution_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
        quantity: what is drawn, and its unit.
        references: lines that have no other epsilon, so that none is missing.

    Returns:
        The figure. The x axis keeps the order of the epsilons, not their distances, so that 0
        has its place.
    """
    if data.empty:
        return missing(nothing)
    norm = str(data["norm"].iloc[0])
    epsilons = sorted(data["epsilon"].unique())
    looks = line_looks(list(data["line"].unique()))
    turned = len(epsilons) > 6
    figure, grid = dataset_grid(
        datasets_of(data), modes_of(data), toy, quantity=quantity, below=0.16 if turned else 0.0
    )
    absent: list[str] = []
    artists: dict[str, Any] = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            absent.append(f"{dataset}, {mode_text(mode).lower()}")
            continue
        for line, curve in groups_of(panel, "line"):
            artists[line] = _curve(axes, curve, epsilons, looks[str(line)])
            absent += [
                f"{dataset}, {mode_text(mode).lower()}, {line}, epsilon {epsilon_text(e)}"
                for e in sorted(set(epsilons) - set(curve["epsilon"]))
                if line not in references
            ]
        axes.set_xticks(
            range(len(epsilons)),
            [epsilon_text(e, norm) for e in epsilons],
            rotation=90 if turned else 0,
        )
        axes.set_xlim(-0.4, len(epsilons) - 0.6)
        axes.set_ylim(*limits(100 * panel["mean"], 100 * panel["ci_low"], 100 * panel["ci_high"]))
    legend(figure, list(artists.values()), list(artists))
    axis_caption(
        figure,
        f"epsilon of pretraining ({norm.capitalize()}; 0 is standard; in order, not to scale)",
    )
    note(figure, _small_print(data) + (f" Missing: {listed(absent)}." if absent else ""))
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, epsilons: list[float], look: dict[str, Any]) -> Any:
    """Draw one curve: means joined, their intervals, and a dot for each replicate."""
    curve = curve.sort_values("epsilon")
    x = curve["epsilon"].map(epsilons.index).to_numpy()
    mean = 100 * curve["mean"].to_numpy()
    axes.vlines(
        x,
        100 * curve["ci_low"],
        100 * curve["ci_high"],
        color=look["color"],
        linewidth=1.1,
        alpha=0.55,
    )
    for place, values in zip(x, curve["replicates"].astype(str), strict=True):
        dots = [100 * float(value) for value in values.split(";") if value]
        axes.plot(
            [place] * len(dots),
            dots,
            linestyle="none",
            marker="_",
            markersize=5,
            color=look["color"],
            alpha=0.7,
        )
    return axes.plot(x, mean, **look, markeredgecolor=COLOUR["paper"], markeredgewidth=0.6)[0]


def _small_print(data: pd.DataFrame) -> str:
    """Say what the whiskers are, for the units that occur."""
    words = {
        "pretrain_seed": "over pretrainings",
        "none": "of a share of the test images",
        "transfer_seed": "over transfer seeds on one backbone (conditional on it)",
    }
    units = [words[unit] for unit in words if unit in set(data["replicate"])]
    return f"Whiskers: intervals {'; '.join(units)}; dashes: replicates. Wide ones leave the panel."
