"""L2 against Linf: the best robust backbone of each norm, beside standard."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import dataset_grid, datasets_of, modes_of
from robust_transfer.figures.style import (
    empty_panel,
    in_style,
    legend,
    limits,
    line_looks,
    missing,
    note,
)

#: What standard, L2 and Linf backbones of one comparison share.
PLACE = ["dataset", "resolution", "mode", "architecture", "source", "protocol", "metric"]
SIDES = ("standard", "l2", "linf")
SHOWN = [*PLACE, "side", "epsilon", "mean", "ci_low", "ci_high", "n", "replicate", "selected_on"]


def norm_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the best epsilon of each norm where a place has both.

    Args:
        cells: as `summarise` returns them.

    Returns:
        `SHOWN`: the best by validation accuracy where all cells of a side have one, else by test.
    """
    rows = []
    for _, group in groups_of(cells, PLACE):
        robust = group[group["epsilon"] > 0]
        if not {"l2", "linf"} <= set(robust["norm"].dropna()):
            continue
        sides = {"standard": group[group["epsilon"] == 0]}
        sides |= {norm: robust[robust["norm"] == norm] for norm in ("l2", "linf")}
        for name, side in sides.items():
            if side.empty:
                continue
            known = bool(side["validation_accuracy"].notna().all())
            by = "validation_accuracy" if known else "mean"
            best = side.iloc[int(np.nanargmax(side[by].to_numpy(dtype=np.float64)))]
            rows.append({**{key: best[key] for key in SHOWN if key in best.index}, "side": name,
                         "selected_on": "validation" if known else "test"})  # fmt: skip
    return pd.DataFrame(rows, columns=SHOWN)


@in_style
def draw_norms(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw standard, best L2 and best Linf, a line an architecture.

    Args:
        data: as `norm_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    size = data["resolution"].map(lambda r: "" if r in ("native", None) else f", {r}")
    data = data.assign(line=data["architecture"].astype(str) + size.astype(str))
    looks = line_looks(list(data["line"].unique()))
    figure, grid = dataset_grid(datasets_of(data), modes_of(data), toy)
    artists: dict[str, Any] = {}
    for (dataset, mode), axes in grid.items():
        panel = data[(data["dataset"] == dataset) & (data["mode"] == mode)]
        if panel.empty:
            empty_panel(axes)
            continue
        for line, rows in groups_of(panel, "line"):
            rows = rows.set_index("side").reindex(SIDES)
            artists[line] = axes.plot(range(3), 100 * rows["mean"], **looks[line])[0]
            for place, row in enumerate(rows_of(rows)):
                if row.Index != "standard" and np.isfinite(row.mean):
                    axes.annotate(epsilon_text(row.epsilon, row.Index), (place, 100 * row.mean),
                                  xytext=(4, 5), textcoords="offset points", fontsize=6.5,
                                  va="center", color=looks[line]["color"])  # fmt: skip
        names = ["standard", *(f"best {NORMS[norm]}" for norm in ("l2", "linf"))]
        axes.set_xticks(range(3), names)
        axes.set_xlim(-0.3, 2.5)
        axes.set_ylim(*limits(100 * panel["mean"], [], []))
    legend(figure, list(artists.values()), list(artists))
    chosen = " and ".join(sorted(set(data["selected_on"])))
    note(figure, f"Beside a mark: the epsilon that was best by {chosen} accuracy.")
    return figure
