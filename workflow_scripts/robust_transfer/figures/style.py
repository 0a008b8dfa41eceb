"""One look for all figures: colours with a second cue, inches, and bytes that repeat."""

import functools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.files import whole_file

#: Name: (on white, on dark). The report swaps one for the other; files keep the first.
THEME = {
    "ink": ("#1d2430", "#e6e9ef"),
    "muted": ("#5d6675", "#9ca6b5"),
    "rule": ("#e2e5ea", "#2f3743"),
    "paper": ("#fffffe", "#171c24"),
    # Okabe and Ito's colours, which colour-blind readers tell apart; lighter ones on dark.
    "robust": ("#0072b2", "#62b8ec"),
    "standard": ("#c2570c", "#f2995c"),
    "unclear": ("#8c95a3", "#818b9a"),
    "line1": ("#00805f", "#3fcf9f"),
    "line2": ("#a8558a", "#e39cc8"),
    "line3": ("#86740b", "#e0cc52"),
    # Growing epsilon: darker on white and lighter on dark, so that grey keeps the order.
    "eps0": ("#e0724f", "#a8639f"),
    "eps1": ("#d25a63", "#bd6794"),
    "eps2": ("#be4577", "#d06f87"),
    "eps3": ("#a53388", "#e07c79"),
    "eps4": ("#872594", "#ee8d6b"),
    "eps5": ("#67199a", "#f6a25f"),
    "eps6": ("#470f96", "#fbbb58"),
    "eps7": ("#25087f", "#fbd859"),
}
COLOUR = {name: pair[0] for name, pair in THEME.items()}
LINES = ("robust", "standard", "line1", "line2", "line3", "ink")
MARKERS = ("s", "D", "^", "v", "P", "X", "<", ">", "p", "h")
DASHES: tuple[Any, ...]  # of matplotlib: more than its own type of a line's style says
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1)))
PIXELS_PER_INCH = 144
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": COLOUR["ink"],
    "axes.labelcolor": COLOUR["muted"],
    "axes.titlecolor": COLOUR["ink"],
    "axes.edgecolor": COLOUR["muted"],
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "axes.facecolor": COLOUR["paper"],
    "figure.facecolor": COLOUR["paper"],
    "savefig.facecolor": COLOUR["paper"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOUR["rule"],
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "axes.unicode_minus": True,
    "savefig.dpi": PIXELS_PER_INCH,
}
P = ParamSpec("P")


def in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a function draw in the project's style, whatever the process has set."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, **RC}
        settings.pop("backend")  # figures are made without a window, whatever the backend
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return styled


def panels(
    rows: int,
    columns: int,
    *,
    panel: tuple[float, float] = (1.55, 1.25),
    left: float = 0.62,
    top: float = 0.62,
    bottom: float = 0.62,
    right: float = 0.12,
    gap: tuple[float, float] = (0.42, 0.45),
) -> tuple[Figure, np.ndarray]:
    """Make a figure of equal panels, measured in inches so that many are as legible as few.

    Args:
        rows: of panels.
        columns: of panels.
        panel: width and height of one.
        left: margin; so are `top`, `bottom` and `right`.
        top: room for a legend and titles.
        bottom: room for tick labels, an axis label and notes.
        right: margin.
        gap: width and height between panels.

    Returns:
        The figure, and the (rows, columns) array of its axes.
    """
    width = left + right + columns * panel[0] + (columns - 1) * gap[0]
    height = top + bottom + rows * panel[1] + (rows - 1) * gap[1]
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1 - right / width,
            "bottom": bottom / height,
            "top": 1 - top / height,
            "wspace": gap[0] / panel[0],
            "hspace": gap[1] / panel[1],
        },
    )
    return figure, axes


def above(figure: Figure, inches: float) -> float:
    """Return the height that lies `inches` below the top, as a share of the figure."""
    return 1 - inches / figure.get_figheight()


def note(figure: Figure, text: str) -> None:
    """Write small print at the foot of a figure: what is missing, what a mark means."""
    width, height = figure.get_size_inches()
    figure.text(
        0.08 / width,
        0.06 / height,
        textwrap.fill(text, int(17.5 * width)),  # a letter of this size is 1/18 inch wide
        fontsize=7,
        color=COLOUR["muted"],
        va="bottom",
        ha="left",
    )


def legend(figure: Figure, handles: list[Any], labels: list[str]) -> None:
    """Put one legend for all panels at the top left."""
    wide = max(1.45, 0.72 + 0.068 * max(map(len, labels), default=0))
    columns = max(1, int((figure.get_figwidth() - 0.2) / wide))
    figure.legend(
        handles,
        labels,
        loc="upper left",
        ncols=min(columns, max(len(labels), 1)),
        bbox_to_anchor=(0.1 / figure.get_figwidth(), above(figure, 0.02)),
        borderaxespad=0.2,
        handlelength=2.2,
        columnspacing=1.4,
    )


@in_style
def missing(text: str) -> Figure:
    """Draw a figure that says why there is nothing to draw."""
    figure = Figure(figsize=(6.5, 1.1))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=COLOUR["muted"], wrap=True)
    return figure


def empty_panel(axes: Axes, text: str = "no result") -> None:
    """Say in a panel that it has no data."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.text(
        0.5,
        0.5,
        text,
        ha="center",
        va="center",
        transform=axes.transAxes,
        color=COLOUR["muted"],
        fontsize=7.5,
    )


def epsilon_looks(epsilons: list[float]) -> dict[float, dict[str, Any]]:
    """Give each epsilon a colour and a marker; 0, the standard, is a hollow grey circle.

    Args:
        epsilons: all of a figure, at least one.

    Returns:
        Epsilon -> keyword arguments of a line or marker.
    """
    robust = sorted(epsilon for epsilon in set(epsilons) if epsilon > 0)
    steps = np.linspace(0, 7, len(robust)).round().astype(int) if len(robust) > 1 else [4]
    looks: dict[float, dict[str, Any]] = {
        epsilon: {"color": COLOUR[f"eps{step}"], "marker": MARKERS[index % len(MARKERS)]}
        for index, (epsilon, step) in enumerate(zip(robust, steps, strict=False))
    }
    looks[0.0] = {"color": COLOUR["muted"], "marker": "o", "markerfacecolor": COLOUR["paper"]}
    return looks


def line_looks(names: list[str]) -> dict[str, dict[str, Any]]:
    """Give each curve a colour, a marker and a dash pattern."""
    return {
        name: {
            "color": COLOUR[LINES[index % len(LINES)]],
            "marker": ("o", *MARKERS)[index % (len(MARKERS) + 1)],
            "linestyle": DASHES[index // 2 % len(DASHES)] if index else "-",
        }
        for index, name in enumerate(sorted(names))
    }


def limits(values: Any, lows: Any, highs: Any, *, reach: float = 0.6) -> tuple[float, float]:
    """Choose an axis range by the values; an interval may leave it by no more than `reach`.

    Two replicates give intervals many times wider than what is compared: the range follows the
    points, and the CSV has the interval.

    Args:
        values: the points.
        lows: lower ends of their intervals, NaN where there is none.
        highs: upper ends.
        reach: how far beyond the points an interval widens the range, as a share of their span.
    """
    points = np.asarray(values, float)
    bottom, top = np.nanmin(points), np.nanmax(points)
    span = max(top - bottom, 1e-9 + 0.01 * abs(top))
    ends = np.concatenate([np.asarray(lows, float), np.asarray(highs, float)])
    ends = ends[np.isfinite(ends)].clip(bottom - reach * span, top + reach * span)
    return min(bottom, *ends, bottom) - 0.1 * span, max(top, *ends, top) + 0.1 * span


def save_figure(figure: Figure, folder: str | Path, name: str, data: pd.DataFrame) -> None:
    """Write a figure as SVG and PNG, and beside them the numbers that it shows.

    Args:
        figure: what to write.
        folder: where to; made when absent.
        name: file name without suffix.
        data: the numbers; one row a mark.
    """
    folder = Path(folder)
    # Ids come from the salt, and no date is written: the same figure has the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        for suffix, metadata in (
            (".svg", {"Date": None, "Creator": None}),
            (".png", {"Software": None}),
        ):
            with whole_file(folder / f"{name}{suffix}") as beside:
                figure.savefig(
                    beside, dpi=PIXELS_PER_INCH, metadata=metadata, facecolor=COLOUR["paper"]
                )
    with whole_file(folder / f"{name}.csv") as beside:
        data.to_csv(beside, index=False, lineterminator="\n")
