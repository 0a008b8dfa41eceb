"""Source against transfer accuracy: the correlation at one epsilon, and over all of them."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import commonest_norm, epsilon_text, preferred, summarise
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

SHOWN = [
    "dataset",
    "resolution",
    "mode",
    "architecture",
    "norm",
    "epsilon",
    "pretrain_seed",
    "source_accuracy",
    "mean",
    "ci_low",
    "ci_high",
    "n",
    "replicate",
    "origin",
]


def scatter_data(accuracy: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Make one point a backbone, dataset and mode: its mean over transfer seeds.

    Args:
        accuracy: the rows of accuracy.csv.
        confidence: of the intervals over transfer seeds.

    Returns:
        `SHOWN`, where source accuracy is known.
    """
    seeds = list(accuracy["pretrain_seed"].drop_duplicates())
    parts = [
        summarise(
            accuracy[
                accuracy["pretrain_seed"].eq(seed)
                | (accuracy["pretrain_seed"].isna() & pd.isna(seed))
            ],
            confidence,
        ).assign(pretrain_seed=seed)
        for seed in seeds
    ]
    points = pd.concat(parts) if parts else pd.DataFrame(columns=[*SHOWN, "protocol"])
    points = commonest_norm(points[points["source_accuracy"].notna()])
    points = points[
        points["protocol"].isin([preferred(points["protocol"], "clean")])
        | points["protocol"].isna()
    ]
    first = points.groupby("dataset")["resolution"].transform(lambda r: preferred(r, "native"))
    points = points[(points["resolution"] == first) | points["resolution"].isna()]
    return points[SHOWN].reset_index(drop=True)


@in_style
def draw_scatter(
    data: pd.DataFrame, pearson: pd.DataFrame, *, toy: Collection[str] = (), nothing: str
) -> Figure:
    """Draw transfer against source accuracy; colour and marker say epsilon.

    Args:
        data: as `scatter_data` returns it; it may be empty.
        pearson: the rows of pearson.csv: the r to write into each panel.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    looks = epsilon_looks(list(data["epsilon"]))
    heading = 0.26 if (pearson["epsilon"].notna() & pearson["r"].notna()).any() else 0.13
    figure, grid = dataset_grid(datasets_of(data), modes_of(data), toy, heading=heading)
    artists = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            continue
        for epsilon, points in groups_of(panel, "epsilon"):
            x = 100 * points["source_accuracy"]
            axes.vlines(
                x,
                100 * points["ci_low"],
                100 * points["ci_high"],
                linewidth=0.9,
                color=looks[epsilon]["color"],
                alpha=0.5,
            )
            artists[epsilon] = axes.plot(
                x, 100 * points["mean"], linestyle="none", **looks[epsilon]
            )[0]
        axes.set_xlim(*limits(100 * panel["source_accuracy"], [], []))
        axes.set_ylim(*limits(100 * panel["mean"], 100 * panel["ci_low"], 100 * panel["ci_high"]))
        _write_r(axes, pearson, panel)
    norm = str(data["norm"].iloc[0])
    ordered = sorted(artists)
    legend(
        figure,
        [artists[e] for e in ordered],
        [f"epsilon {epsilon_text(e, norm)}" + " (standard)" * (e == 0) for e in ordered],
    )
    axis_caption(figure, "accuracy on the source, %")
    note(
        figure,
        "One mark a backbone; whiskers: interval over transfer seeds. "
        "r: Pearson over the backbones of one origin (the one with the most, where a panel has "
        "several), pooled over epsilon and at one epsilon.",
    )
    return figure


def _write_r(axes: Axes, pearson: pd.DataFrame, panel: pd.DataFrame) -> None:
    """Write over a panel r over all epsilons with its n, and the range of r at one epsilon."""
    rows = pearson
    for key in ("dataset", "mode", "resolution", "norm", "origin"):
        if key in rows:
            rows = rows[rows[key].isin(panel[key].dropna().unique()) | rows[key].isna()]
    rows = rows[np.isfinite(rows["r"].astype(float))]
    if "origin" in rows and rows["origin"].notna().any():
        most = rows["origin"].iloc[int(rows["n"].to_numpy(dtype=float).argmax())]
        rows = rows[rows["origin"] == most]
    pooled, single = rows[rows["epsilon"].isna()], rows[rows["epsilon"].notna()]
    text = "r: too few backbones"
    if len(pooled):
        text = f"r = {pooled['r'].iloc[0]:.2f} (n = {pooled['n'].iloc[0]:.0f})"
    if len(single):
        text += f"; at one epsilon:\n{single['r'].min():.2f} to {single['r'].max():.2f}"
    text = text.replace("-", "\N{MINUS SIGN}")
    axes.text(0, 1.035, text, fontsize=7, color=COLOUR["muted"], transform=axes.transAxes)
