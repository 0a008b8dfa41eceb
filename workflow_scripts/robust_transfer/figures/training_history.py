"""How pretraining went: loss and validation accuracy, clean and under attack."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.identities import Identity
from robust_transfer.figures.results import groups_of
from robust_transfer.figures.style import (
    DASHES,
    epsilon_looks,
    in_style,
    legend,
    missing,
    note,
    panels,
)

#: Column of a history -> title of its panel, and what to multiply by.
SHOWN = {
    "train_loss": ("Training loss", 1.0),
    "validation_accuracy": ("Validation accuracy, %", 100.0),
    "validation_robust_accuracy": ("Under attack, %", 100.0),
}
COLUMNS = ["backbone", "norm", "epsilon", "step", *SHOWN, "seconds"]


def history_data(
    histories: Mapping[str, pd.DataFrame], known: Mapping[str, Identity]
) -> pd.DataFrame:
    """Stack histories, each with what its backbone is.

    Args:
        histories: backbone -> its history.csv.
        known: as `identities` returns it; others are left out.

    Returns:
        `COLUMNS`: `epsilon` is the one that the backbone was pretrained with.
    """
    parts = [
        history.assign(backbone=name, norm=known[name].norm, epsilon=known[name].epsilon)
        for name, history in sorted(histories.items())
        if name in known and len(history)
    ]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


@in_style
def draw_history(data: pd.DataFrame, *, nothing: str) -> Figure:
    """Draw one curve a backbone over steps: colour and marker say epsilon, dashes the repeat.

    Args:
        data: as `history_data` returns it; it may be empty.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    figure, axes = panels(1, len(SHOWN), panel=(2.55, 1.9), bottom=0.75, gap=(0.45, 0.4))
    looks = epsilon_looks(list(data["epsilon"]))
    artists: dict[float, Any] = {}
    for epsilon, trainings in groups_of(data, "epsilon"):
        for repeat, (_, rows) in enumerate(groups_of(trainings, "backbone")):
            look = looks[epsilon] | {"linestyle": DASHES[repeat % len(DASHES)]}
            for panel, name in zip(axes[0], SHOWN, strict=True):
                if epsilon > 0 or name != "validation_robust_accuracy":
                    artists.setdefault(epsilon, _curve(panel, rows, name, look))
    for panel, (title, _) in zip(axes[0], SHOWN.values(), strict=True):
        panel.set_title(title)
        panel.set_xlabel("training step")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    norms = dict(zip(data["epsilon"], data["norm"], strict=True))
    legend(
        figure, list(artists.values()), [f"epsilon {epsilon_text(e, norms[e])}" for e in artists]
    )
    note(
        figure,
        "One curve a pretraining; dashed: further pretraining seeds. Each backbone is attacked "
        "with the epsilon of its own pretraining, and standard ones are not.",
    )
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, name: str, look: Mapping[str, Any]) -> Any:
    """Draw one column of one history."""
    every = max(1, len(rows) // 6)
    values = SHOWN[name][1] * rows[name].astype(float)
    return axes.plot(rows["step"], values, **look, markersize=3, linewidth=1.1, markevery=every)[0]
