"""From rows of single runs to cells: a mean, its interval, and what n counts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from robust_transfer.figures.results import ACCURACY, groups_of, plain

#: What the rows of one cell share; seeds are what varies inside it.
CELL = (
    "source",
    "architecture",
    "norm",
    "epsilon",
    "dataset",
    "resolution",
    "mode",
    "protocol",
    "metric",
    "origin",
)
#: The words of the `replicate` column, for a reader.
UNITS = {"pretrain_seed": "pretrainings", "transfer_seed": "transfer seeds", "none": "test images"}


def mean_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return Student's t interval of a mean, cut to [0, 1].

    Args:
        values: (n,) accuracies, n at least 2.
        confidence: such as 0.95.
    """
    half = stdtrit(len(values) - 1, 0.5 + confidence / 2) * values.std(ddof=1) / len(values) ** 0.5
    return max(0.0, values.mean() - half), min(1.0, values.mean() + half)


def share_interval(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of `n` test images; NaN where `n` is unknown.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    if not n > 0:
        return np.nan, np.nan
    z = ndtri(0.5 + confidence / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def summarise(
    accuracy: pd.DataFrame, confidence: float, *, also: Sequence[str] = ()
) -> pd.DataFrame:
    """Average each cell over its replicates.

    With two pretrainings or more, each pretraining counts once (the mean of its transfer seeds):
    transfer seeds on one backbone say nothing about another pretraining. With one, the transfer
    seeds count, and the interval holds for that backbone only. With a single run the interval is
    that of a share of the test images.

    Args:
        accuracy: the rows of accuracy.csv.
        confidence: of the intervals, such as 0.95.
        also: further columns that the rows of one cell share.

    Returns:
        One row a cell: `CELL`, those of `also`, `mean`, `ci_low`, `ci_high` (in [0, 1]), `n`,
        `replicate` (what n counts: pretrain_seed, transfer_seed, or none), `replicates` (the values
        averaged), `n_test`, `source_accuracy`, `validation_accuracy`, `seconds` (means).
    """
    table = plain(accuracy, ACCURACY)
    table = table[table["accuracy"].notna()]
    keys = [*CELL, *also]
    rows = [
        dict(zip(keys, key, strict=True)) | _summary(group, confidence)
        for key, group in groups_of(table, keys)
    ]
    columns = [*keys, *_summary(table, confidence)]
    return pd.DataFrame(rows, columns=columns)


def _summary(group: pd.DataFrame, confidence: float) -> dict[str, object]:
    """Summarise the rows of one cell."""
    replicates = group.groupby("pretrain_seed", dropna=False)["accuracy"].mean()
    unit = "pretrain_seed"
    if len(replicates) < 2:
        replicates, unit = group["accuracy"], "transfer_seed"
    values = replicates.to_numpy(dtype=float)
    if len(values) > 1:
        low, high = mean_interval(values, confidence)
    else:
        unit = "none"
        low, high = (
            share_interval(values[0], group["n_test"].iloc[0], confidence)
            if len(values)
            else (np.nan, np.nan)
        )
    means = {
        name: group[name].astype(float).mean()
        for name in ("n_test", "source_accuracy", "validation_accuracy", "seconds")
    }
    return {
        "mean": values.mean() if len(values) else np.nan,
        "ci_low": low,
        "ci_high": high,
        "n": len(values),
        "replicate": unit,
        "replicates": ";".join(f"{value:.6g}" for value in values),
        **means,
    }


def main_view(cells: pd.DataFrame) -> pd.DataFrame:
    """Keep one resolution and one norm, so that a curve is one curve.

    Args:
        cells: as `summarise` returns them.

    Returns:
        The cells at the native resolution (the first that a dataset has, where it has no native
        one), in the commonest norm, with the column `line` of `with_lines`.
    """
    cells = with_lines(commonest_norm(cells))
    if cells.empty:
        return cells
    first = cells.groupby("dataset")["resolution"].transform(lambda r: preferred(r, "native"))
    return cells[(cells["resolution"] == first) | cells["resolution"].isna()]


def commonest_norm(cells: pd.DataFrame) -> pd.DataFrame:
    """Keep the cells of the norm that most have: two norms share no scale of epsilon."""
    commonest = cells["norm"].mode().iloc[:1]
    return cells[cells["norm"].isin(commonest) | cells["norm"].isna()]


def with_lines(table: pd.DataFrame) -> pd.DataFrame:
    """Add the column `line`, the name of a curve, to cells or comparisons.

    It is the architecture, with source and protocol where they differ, and a mark on numbers that
    are not our own, where some are.
    """
    line = table["architecture"].astype(object).fillna("unknown").astype(str)
    if table["source"].nunique() > 1:
        line = line + " on " + table["source"].astype(str)
    if table["protocol"].nunique() > 1:
        line = line + ", " + table["protocol"].astype(str)
    foreign = table["origin"].notna() & (table["origin"] != "run")
    foreign &= bool((table["origin"] == "run").any())
    return table.assign(line=line.where(~foreign, line + " (published)").astype(object))


def preferred(values: pd.Series, wanted: str) -> str | None:
    """Return `wanted` where it is among the values, else the first in order, else None."""
    present = sorted({str(value) for value in values.dropna()})
    if wanted in present:
        return wanted
    return present[0] if present else None


def epsilon_text(epsilon: float, norm: str | float = "l2") -> str:
    """Spell an epsilon as a person would: 0.25, and 8/255 for Linf."""
    if norm == "linf" and epsilon > 0:
        return f"{epsilon * 255:.3g}/255"
    return f"{epsilon:.6g}"
