"""Does a dataset's granularity say which epsilon is best for it?"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.cells import commonest_norm, preferred
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import (
    axis_caption,
    dataset_text,
    datasets_of,
    mode_text,
    modes_of,
)
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


#: Points lie this share of a panel above or below their place in the grid, so that both are seen.
APART = {"fixed": 0.025, "full": -0.025}
#: Width of a panel and of a number in it, and height of the number, in points.
PANEL, NUMBER, LINE = 126.0, 6.0, 6.0
MOST_NAMED = 20  # datasets; more cannot be told apart


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
        rows, columns, panel=(1.75, 1.35), left=0.5, top=0.78, bottom=1.05, gap=(0.32, 0.72)
    )
    most = int(data["best_epsilon_place"].max())
    bottom, top = -0.3 - 0.06 * (most + 1), most + 0.3 + 0.25 * (most + 1)  # numbers stand above
    apart = {mode: share * (top - bottom) for mode, share in APART.items()}
    numbers = {name: number for number, name in enumerate(datasets_of(data), start=1)}
    artists: dict[str, Any] = {}
    for place, panel in enumerate(axes.flat):
        if place >= len(names):
            panel.remove()
            continue
        part = data[data["measure"] == names[place]]
        for mode, points in groups_of(part, "mode"):
            look = {**LOOKS[mode], "linestyle": "none", "markersize": 5}
            places = points["best_epsilon_place"] + apart[mode]
            artists[mode] = panel.plot(points["value"], places, **look)[0]
        _number_points(panel, part, numbers, apart)
        panel.set_title(MEASURES[names[place]], pad=14)
        panel.text(0, 1.04, _error(part), fontsize=6.5, color=COLOUR["muted"],
                   transform=panel.transAxes)  # fmt: skip
        panel.set_xlim(*limits(part["value"], [], []))
        panel.set_ylim(bottom, top)
        panel.set_yticks(range(most + 1))
    legend(figure, list(artists.values()), [mode_text(mode) for mode in artists])
    axis_caption(figure, "measure (each panel has its own unit)", height=0.7)
    note(figure, _small_print(numbers, toy))
    return figure


def _small_print(numbers: Mapping[str, int], toy: Collection[str]) -> str:
    key = ", ".join(f"{number} {dataset_text(name, toy)}" for name, number in numbers.items())
    text = (
        "Up: the best epsilon, as a place in the study's grid (0: standard); fixed features are "
        "drawn a little above it, the full network below. Over a panel: mean error, in places, "
        "for a dataset left out; in brackets that of knowing no measure."
    )
    return text + f" Numbers: {key}." if len(numbers) <= MOST_NAMED else text


def _error(part: pd.DataFrame) -> str:
    """Say the leave-one-out error of a measure in each mode."""
    said = []
    for mode in modes_of(part):
        row = part[part["mode"] == mode].iloc[0]
        if np.isfinite(row["error"]):
            said.append(f"{mode}: {row['error']:.2f} ({row['error_of_median']:.2f})")
    return "; ".join(said) or "too few datasets for an error"


def _number_points(
    axes: Axes, part: pd.DataFrame, numbers: Mapping[str, int], apart: Mapping[str, float]
) -> None:
    """Number the datasets over their highest points; numbers too near each other are stacked."""
    if len(numbers) > MOST_NAMED:
        return
    low, high = limits(part["value"], [], [])
    highest = part.assign(place=part["best_epsilon_place"] + part["mode"].map(apart))
    highest = highest.sort_values("place").drop_duplicates("dataset", keep="last")
    ends: dict[tuple[float, int], float] = {}  # of the numbers of one height, points
    for row in rows_of(highest.sort_values(["value", "dataset"])):
        centre, level = PANEL * (row.value - low) / (high - low), 0
        while ends.get((row.best_epsilon_place, level), -np.inf) > centre - NUMBER / 2:
            level += 1
        ends[row.best_epsilon_place, level] = centre + NUMBER / 2
        axes.annotate(str(numbers[row.dataset]), (row.value, row.place), ha="center",
                      xytext=(0, 4 + LINE * level), textcoords="offset points", fontsize=6,
                      color=COLOUR["muted"])  # fmt: skip
