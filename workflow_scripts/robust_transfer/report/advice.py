"""What to take: the recommended backbone of each dataset, and the best of either kind."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import dataset_text, mode_text, modes_of
from robust_transfer.figures.summary import recommended_text
from robust_transfer.report.words import interval, number, resolution_text

MODES = {"fixed": "with fixed features", "full": "with the full network trained"}


@dataclass(frozen=True)
class Advice:
    """What to take for one dataset; `row` is its row of the table of recommendations."""

    dataset: str
    take: str
    says: str
    row: int


def advice(
    recommendation: pd.DataFrame, *, confidence: float, toy: Collection[str]
) -> list[Advice]:
    """Say for each dataset which backbone and mode validation recommends, and how sure that is.

    Args:
        recommendation: the rows of recommendation.csv; it may be empty.
        confidence: of the intervals.
        toy: names of the datasets that are toys.
    """
    found = []
    for place, row in enumerate(rows_of(recommendation), start=1):
        if row.recommended != 1:
            continue
        size = "" if row.resolution == "native" else f" at {resolution_text(row.resolution)}"
        says = (
            f"{number(100 * row.accuracy)}% right ({100 * confidence:g}% interval "
            f"{interval(row.ci_low, row.ci_high, scale=100)}); the best of all with probability "
            f"{number(row.probability_best, 2)}; if it is not, the expected loss is "
            f"{number(100 * row.regret, 2)} points"
        )
        name = dataset_text(row.dataset, toy) + size
        found.append(Advice(name, recommended_text(row), says, place))
    return found


def main_headline(headline: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of headline.csv that a summary is of, with `row`, their place in the table.

    Args:
        headline: the rows of headline.csv.

    Returns:
        The rows with a difference, at native size where there are any, of the commonest origin.
    """
    table = headline.assign(row=range(1, len(headline) + 1))
    table = table[table["difference"].notna()]
    native = table[table["resolution"] == "native"]
    table = native if len(native) else table
    counts = table.groupby("origin", dropna=False)["difference"].transform("size")
    return table[counts == counts.max()] if len(table) else table


def best_sentence(headline: pd.DataFrame) -> str:
    """Say how often the best robust backbone is ahead of the best standard one; may be empty.

    Args:
        headline: as `main_headline` returns it.
    """
    said = []
    for mode, rows in groups_of(headline, "mode"):
        ahead = int((rows["difference"] > 0).sum())
        median = number(100 * rows["difference"].median(), sign=True)
        said.append(
            f"on {ahead} of {len(rows)} datasets {MODES.get(mode, mode)} (median {median} points)"
        )
    if not said:
        return ""
    return f"The best robust backbone is ahead of the best standard one {' and '.join(said)}."


def correlation_sentence(correlations: pd.DataFrame) -> str:
    """Say the paper's point: R squared pooled over epsilon, and at one epsilon; may be empty.

    Args:
        correlations: as `r_squared_data` returns them.
    """
    said = []
    for mode, rows in groups_of(correlations, "mode"):
        pooled = rows[~np.isfinite(rows["epsilon"].astype(float))]["r_squared"].median()
        single = rows[np.isfinite(rows["epsilon"].astype(float))]["r_squared"].median()
        said.append(
            f"{number(pooled, 2)} pooled over epsilon and {number(single, 2)} at one epsilon "
            f"{MODES.get(mode, mode)}"
        )
    if not said:
        return ""
    return (
        f"R squared of source and transfer accuracy, the median over datasets: {'; '.join(said)}."
    )


@dataclass(frozen=True)
class Best:
    """The best of either kind on a dataset: for each mode, cells of words and the table's row."""

    dataset: str
    cells: tuple[tuple[str, str, str, str, str, int] | None, ...]


def best_by_dataset(
    headline: pd.DataFrame, toy: Collection[str]
) -> tuple[tuple[str, ...], list[Best]]:
    """Arrange the best backbones by dataset and mode, as the paper's first table does.

    Args:
        headline: as `main_headline` returns it.
        toy: names of the datasets that are toys.

    Returns:
        Names of the modes, and a row a dataset.
    """
    modes = modes_of(headline)
    rows = []
    for (dataset, _), group in groups_of(headline, ["dataset", "resolution"]):
        by_mode = {
            row.mode: (
                number(100 * row.accuracy_robust, 2), str(row.best_robust),
                number(100 * row.accuracy_standard, 2), str(row.best_standard),
                number(100 * row.difference, 2, sign=True), int(row.row),
            )
            for row in rows_of(group)
        }  # fmt: skip
        cells = tuple(by_mode.get(mode) for mode in modes)
        rows.append(Best(dataset_text(dataset, toy), cells))
    return tuple(mode_text(mode) for mode in modes), rows
