"""A grid of small panels: a column a dataset, a row a mode, wrapped where datasets are many."""

import math
from collections.abc import Collection, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robust_transfer.figures.style import COLOUR, panels

MODES = {"fixed": "Fixed features", "full": "Full network"}
PER_ROW = 5
#: (dataset, mode) -> its panel.
Panels = dict[tuple[str, str], Axes]


def panel_width(columns: int) -> float:
    """Choose the width of a panel in inches, so that few panels still leave room for notes."""
    return {1: 5.6, 2: 2.9, 3: 2.1}.get(columns, 1.55)


def mode_text(mode: str) -> str:
    """Spell a mode for a reader."""
    return MODES.get(mode, mode)


def dataset_text(dataset: str, toy: Collection[str]) -> str:
    """Name a dataset; a toy is called a toy wherever it shows."""
    return f"{dataset} (toy)" if dataset in toy else str(dataset)


def modes_of(table: pd.DataFrame) -> list[str]:
    """Return the modes of a table, fixed before full."""
    return sorted({str(mode) for mode in table["mode"].dropna()})


def datasets_of(table: pd.DataFrame) -> list[str]:
    """Return the datasets of a table by name."""
    return sorted({str(dataset) for dataset in table["dataset"].dropna()})


def dataset_grid(
    datasets: Sequence[str],
    modes: Sequence[str],
    toy: Collection[str],
    *,
    quantity: str = "accuracy, %",
    bottom: float = 0.85,
    heading: float = 0.0,
    below: float = 0.0,
) -> tuple[Figure, Panels]:
    """Make one panel a dataset and mode.

    Args:
        datasets: at least one; more than five wrap into further blocks of rows.
        modes: at least one; a row each.
        toy: names of the datasets that are toys.
        quantity: what is drawn, and its unit.
        bottom: room below, in inches.
        heading: room for a line between title and panel, in inches.
        below: more room under each panel, for turned tick labels, in inches.

    Returns:
        The figure and its panels; panels that the last block does not need are removed.
    """
    columns = min(len(datasets), PER_ROW)
    blocks = math.ceil(len(datasets) / columns)
    wide = panel_width(columns)
    figure, axes = panels(
        blocks * len(modes),
        columns,
        panel=(wide, 1.25),
        bottom=bottom + below,
        left=0.72,
        top=0.62 + heading,
        gap=(0.42, 0.45 + heading + below),
    )
    found: dict[tuple[str, str], Axes] = {}
    for place in range(blocks * columns):
        block, column = divmod(place, columns)
        for row, mode in enumerate(modes):
            panel = axes[block * len(modes) + row, column]
            if place >= len(datasets):
                panel.remove()
                continue
            found[datasets[place], mode] = panel
            if row == 0:
                panel.set_title(dataset_text(datasets[place], toy), pad=5 + 72 * heading)
            if column == 0:
                panel.set_ylabel(f"{mode_text(mode)}\n{quantity}", linespacing=1.4)
    return figure, found


def axis_caption(figure: Figure, text: str, height: float = 0.46) -> None:
    """Label the x axes of all panels once, `height` inches above the foot."""
    figure.text(
        0.5,
        height / figure.get_figheight(),
        text,
        ha="center",
        va="bottom",
        fontsize=8,
        color=COLOUR["muted"],
    )


def listed(words: Sequence[str], most: int = 3) -> str:
    """Join words, naming the first few and counting the rest."""
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
