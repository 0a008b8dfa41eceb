"""Does a dataset's granularity say which epsilon is best for it?"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import commonest_norm, preferred
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import axis_caption, mode_text, modes_of
from robust_transfer.figures.style import (
    COLOUR,
    in_style,
    legend,
    limits,
    missing,
    note,
    panels,
)

MEASURES = {
    "separation": "Separation of classes",
    "nearest_mean_margin": "Nearest-class-mean margin",
    "nearest_mean_accuracy": "Nearest-class-mean accuracy",
    "classes": "Number of classes",
    "intrinsic_dimension": "Intrinsic dimension",
    "high_frequency_energy": "High-frequency energy",
    "within_distance": "Distance within classes",
    "between_distance": "Distance between classes",
}
SHOWN = ["mode", "resolution", "norm", "protocol", "dataset", "measure", "value",
         "best_epsilon_place", "error", "error_of_median", "n"]  # fmt: skip
LOOKS: dict[str, dict[str, Any]] = {
    "fixed": {"color": COLOUR["robust"], "marker": "o"},
    "full": {"color": COLOUR["standard"], "marker": "s", "markerfacecolor": COLOUR["paper"]},
}


def granularity_data(points: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Set each measure beside the best epsilon of each dataset, a row a pair.

    Args:
        points: the rows of granularity_points.csv.
        predictions: the rows of granularity_prediction.csv: the errors of each measure.

    Returns:
        `SHOWN`, of one resolution, protocol and norm.
    """
    view = commonest_norm(points)
    for column, wanted in (("resolution", "native"), ("protocol", "clean")):
        view = view[view[column] == preferred(view[column], wanted)]
    if view.empty:
        return pd.DataFrame(columns=SHOWN)
    keys = ["mode", "resolution", "norm", "protocol"]
    rows = [
        {**{key: getattr(row, key) for key in keys}, "dataset": row.dataset, "measure": name,
         "value": getattr(row, name), "best_epsilon_place": row.best_epsilon_place}
        for row in rows_of(view)
        for name in MEASURES
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=[*keys, "dataset", "measure", "value", "best_epsilon_place"])
    errors = predictions[[*keys, "measure", "error", "error_of_median", "n"]]
    errors = errors.drop_duplicates([*keys, "measure"])
    found = found.astype({"measure": object}).merge(errors, on=[*keys, "measure"], how="left")
    return found[np.isfinite(found["value"].astype(float))][SHOWN].reset_index(drop=True)


#: Width of a panel, and of a letter of the names in it, in points.
PANEL_POINTS, LETTER_POINTS = 126.0, 3.2


@in_style
def draw_granularity(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw the best epsilon of each dataset against each measure, a panel a measure.

    Args:
        data: as `granularity_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    names = [name for name in MEASURES if name in set(data["measure"])]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = panels(
        rows, columns, panel=(1.75, 1.35), left=0.5, top=0.78, bottom=0.8, gap=(0.32, 0.72)
    )
    artists: dict[str, Any] = {}
    for place, panel in enumerate(axes.flat):
        if place >= len(names):
            panel.remove()
            continue
        part = data[data["measure"] == names[place]]
        for mode, points in groups_of(part, "mode"):
            look = {**LOOKS[mode], "linestyle": "none", "markersize": 5}
            artists[mode] = panel.plot(points["value"], points["best_epsilon_place"], **look)[0]
        _name_points(panel, part, toy)
        panel.set_title(MEASURES[names[place]], pad=14)
        panel.text(0, 1.04, _error(part), fontsize=6.5, color=COLOUR["muted"],
                   transform=panel.transAxes)  # fmt: skip
        panel.set_xlim(*limits(part["value"], [], []))
        panel.set_ylim(-0.4, data["best_epsilon_place"].max() + 0.4)
    legend(figure, list(artists.values()), [mode_text(mode) for mode in artists])
    axis_caption(figure, "measure (each panel has its own unit)")
    note(
        figure,
        "Up: the best epsilon, as a place in the study's grid (0: standard). Over a panel: mean "
        "error, in places, for a dataset left out; in brackets that of knowing no measure.",
    )
    return figure


def _error(part: pd.DataFrame) -> str:
    """Say the leave-one-out error of a measure in each mode."""
    said = []
    for mode in modes_of(part):
        row = part[part["mode"] == mode].iloc[0]
        if np.isfinite(row["error"]):
            said.append(f"{mode}: {row['error']:.2f} ({row['error_of_median']:.2f})")
    return "; ".join(said) or "too few datasets for an error"


def _name_points(axes: Axes, part: pd.DataFrame, toy: Collection[str]) -> None:
    """Name the datasets where they are few; a name that would cover another stands higher."""
    first = part.drop_duplicates("dataset").sort_values("value")
    if len(first) > 8:
        return
    low, high = limits(part["value"], [], [])
    ends: dict[tuple[float, int], float] = {}  # of the names of one height, points
    for row in rows_of(first):
        text = str(row.dataset) + " (toy)" * (row.dataset in toy)
        centre = PANEL_POINTS * (row.value - low) / (high - low)
        half, level = LETTER_POINTS * len(text) / 2, 0
        while ends.get((row.best_epsilon_place, level), -np.inf) > centre - half:
            level += 1
        ends[row.best_epsilon_place, level] = centre + half
        axes.annotate(text, (row.value, row.best_epsilon_place), xytext=(0, 5 + 6 * level),
                      ha="center", textcoords="offset points", fontsize=5.5,
                      color=COLOUR["muted"])  # fmt: skip
