"""Hundreds of comparisons: a table of coloured cells in place of bars."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import dataset_text, datasets_of, mode_text
from robust_transfer.figures.style import COLOUR, above, in_style, legend, note

#: From this many comparisons on a bar for each would fill pages.
FROM = 160
#: Sides of a cell in inches, and room above a panel for its title and its architectures.
WIDE, HIGH, HEAD, GAP = 0.2, 0.165, 0.62, 0.36
#: Differences beyond this share of all are drawn as the strongest colour.
FULL_COLOUR_AT = 0.95


@in_style
def draw_heat(drawn: pd.DataFrame, *, toy: Collection[str]) -> Figure:
    """Draw a panel a mode, resolution and norm: a row a dataset, a column a backbone.

    Args:
        drawn: as `difference_data` returns it, with a difference in every row.
        toy: names of the datasets that are toys.

    Returns:
        The figure. The stronger the colour, the larger the difference; cells with a dash are
        below 0, so that grey says it too; a frame marks a verdict of the tests.
    """
    blocks = [block for _, block in groups_of(drawn, ["norm", "resolution", "mode"])]
    blocks.sort(key=lambda block: -len(block))
    columns = [_columns(block) for block in blocks]
    width = 1.35 + WIDE * max(len(each) for each in columns) + 0.6
    heights = [HIGH * block["dataset"].nunique() for block in blocks]
    height = 0.45 + sum(heights) + len(blocks) * (HEAD + GAP) + 0.45
    figure = Figure(figsize=(max(width, 6.2), height))
    strongest = float(np.nanquantile(drawn["difference"].abs(), FULL_COLOUR_AT)) or 1.0
    top = 0.4
    for block, names, tall in zip(blocks, columns, heights, strict=True):
        top += HEAD
        box = (1.35 / figure.get_figwidth(), above(figure, top + tall),
               WIDE * len(names) / figure.get_figwidth(), tall / height)  # fmt: skip
        _panel(figure.add_axes(box), block, names, strongest, toy)
        top += tall + GAP
    handles = [Patch(facecolor=COLOUR["robust"]), Patch(facecolor=COLOUR["standard"])]
    legend(figure, handles, ["robust higher", "standard higher (with a dash)"])
    note(
        figure,
        f"Full colour: {100 * strongest:.1f} points and more. A frame: the verdict of a test "
        "(Holm-adjusted); without replicates nothing can be tested.",
    )
    return figure


def _columns(block: pd.DataFrame) -> list[tuple[str, float]]:
    """Return (line, epsilon) of the columns of a panel; the fullest lines first."""
    counts = block["line"].value_counts()
    pairs = block[["line", "epsilon"]].drop_duplicates().itertuples(index=False)
    return sorted(((str(line), float(e)) for line, e in pairs), key=lambda c: (-counts[c[0]], c))


def _panel(
    axes: Axes,
    block: pd.DataFrame,
    columns: list[tuple[str, float]],
    strongest: float,
    toy: Collection[str],
) -> None:
    """Draw the cells of one mode, resolution and norm, and name rows and columns."""
    datasets = datasets_of(block)
    norm, first = str(block["norm"].iloc[0]), block.iloc[0]
    for row in rows_of(block):
        x, y = columns.index((str(row.line), float(row.epsilon))), datasets.index(row.dataset)
        side = "robust" if row.difference >= 0 else "standard"
        strength = 0.08 + 0.92 * min(1.0, abs(row.difference) / strongest)
        axes.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, facecolor=COLOUR[side],
                                 alpha=round(strength, 2), linewidth=0))  # fmt: skip
        if row.verdict in ("robust", "standard"):
            axes.add_patch(Rectangle((x + 0.08, y + 0.08), 0.84, 0.84, fill=False,
                                     edgecolor=COLOUR["ink"], linewidth=0.9))  # fmt: skip
        if row.difference < 0:
            axes.plot([x + 0.32, x + 0.68], [y + 0.5] * 2, color=COLOUR["ink"], linewidth=0.8)
    axes.set(xlim=(0, len(columns)), ylim=(len(datasets), 0))
    axes.grid(visible=False, axis="both")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=2, labelsize=6.5)
    axes.set_yticks(np.arange(len(datasets)) + 0.5, [dataset_text(d, toy) for d in datasets])
    texts = [epsilon_text(e, norm).removesuffix("/255") for _, e in columns]
    axes.set_xticks(np.arange(len(columns)) + 0.5, texts, rotation=90)
    _name_lines(axes, columns)
    size = "native size" if first["resolution"] == "native" else f"at {first['resolution']}"
    unit = " in 1/255" if norm == "linf" else ""
    axes.annotate(
        f"{mode_text(first['mode'])}, {size}, {NORMS.get(norm, norm)} (columns: epsilon{unit})",
        (0, 1), xycoords="axes fraction", xytext=(0, 30), textcoords="offset points",
        fontsize=8.5, fontweight="bold",
    )  # fmt: skip


def _name_lines(axes: Axes, columns: list[tuple[str, float]]) -> None:
    """Write each architecture over its columns; narrow ones take turns in height."""
    lines = list(dict.fromkeys(line for line, _ in columns))
    level = 0
    for line in lines:
        mine = [x for x, (name, _) in enumerate(columns) if name == line]
        short = line.replace(" (published)", "")
        axes.plot([mine[0] + 0.1, mine[-1] + 0.9], [-0.25] * 2, color=COLOUR["muted"],
                  linewidth=0.8, clip_on=False)  # fmt: skip
        axes.annotate(
            short, (mine[0] + 0.1, -0.25), xytext=(0, 3 + 8 * level),
            textcoords="offset points", fontsize=6, color=COLOUR["muted"], annotation_clip=False,
        )  # fmt: skip
        narrow = len(mine) * WIDE < 0.06 * len(short)
        level = (level + 1) % 3 if narrow else 0
