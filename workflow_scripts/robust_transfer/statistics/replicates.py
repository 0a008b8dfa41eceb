"""What a test counts: the unit of replication, and the samples that it gives.

Several transfer seeds on one backbone measure the noise of transfer, not of pretraining. So each
pretraining counts once where there are at least two on both sides; otherwise transfer seeds count,
on one backbone a side, and the inference is conditional on these backbones.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

#: What robust and standard rows of one comparison share.
COMPARED = ("mode", "dataset", "resolution", "architecture", "norm", "source", "protocol",
            "metric", "origin")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sides:
    """The two samples of a comparison.

    Attributes:
        robust: (n,) accuracies, one a replicate.
        standard: (m,) accuracies, one a replicate.
        unit: what is counted: "pretrain_seed", "transfer_seed", or "none" (no test is possible).
        note: what the inference is conditional on, or what is missing; may be empty.
    """

    robust: np.ndarray
    standard: np.ndarray
    unit: str
    note: str


def citation(origin: pd.Series) -> pd.Series:
    """Return the origin up to a semicolon: what rows of one publication share."""
    return origin.str.replace(r"\s*;.*", "", regex=True)


def with_standards(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Let standard backbones stand in for every norm that has none of its own.

    A standard backbone (epsilon 0) saw no attack, so it belongs to every norm.

    Args:
        accuracy: rows of accuracy.csv.

    Returns:
        The rows with an accuracy, and copies of standard rows under each norm without any.
    """
    table = accuracy[accuracy["accuracy"].notna()]
    keys = [key for key in COMPARED if key != "norm"]
    parts = [table]
    for _, group in table.groupby(keys, dropna=False, sort=False):
        standard = group[group["epsilon"] == 0]
        have = set(standard["norm"].dropna())
        if not have:
            continue
        lender = standard[standard["norm"] == min(have)]
        parts += [lender.assign(norm=norm) for norm in sorted(set(group["norm"].dropna()) - have)]
    return pd.concat(parts, ignore_index=True)


def comparisons(
    accuracy: pd.DataFrame,
) -> Iterator[tuple[dict[str, Hashable], pd.DataFrame, pd.DataFrame]]:
    """Yield every place where robust meets standard.

    Args:
        accuracy: rows of accuracy.csv.

    Yields:
        The values of `COMPARED` (`origin` as `citation` gives it), the robust rows (epsilon
        above 0) and the standard rows; places without a robust row are left out.
    """
    table = with_standards(accuracy.assign(origin=citation(accuracy["origin"])))
    for key, group in table.groupby(list(COMPARED), dropna=False, sort=True):
        robust = group[group["epsilon"] > 0]
        if len(robust):
            place = dict(zip(COMPARED, key, strict=True))
            yield place, robust, group[group["epsilon"] == 0]


def by_pretraining(rows: pd.DataFrame, column: str = "accuracy") -> pd.Series:
    """Return the mean over transfer seeds of each pretraining, by pretrain seed."""
    return rows.groupby("pretrain_seed", dropna=False)[column].mean()


def by_transfer(rows: pd.DataFrame, column: str = "accuracy") -> pd.Series:
    """Return the value of each transfer seed, by transfer seed."""
    return rows.groupby("transfer_seed", dropna=False)[column].mean()


def sides(robust: pd.DataFrame, standard: pd.DataFrame) -> Sides:
    """Choose the unit of replication and make the two samples.

    Args:
        robust: the rows of one epsilon above 0.
        standard: the rows of epsilon 0 at the same place; there may be none.
    """
    pretrained = by_pretraining(robust), by_pretraining(standard)
    if min(len(sample) for sample in pretrained) >= 2:
        return Sides(_values(pretrained[0]), _values(pretrained[1]), "pretrain_seed", "")
    robust, standard, note = one_backbone(robust, standard)
    samples = _values(by_transfer(robust)), _values(by_transfer(standard))
    if min(len(sample) for sample in samples) >= 2:
        return Sides(*samples, "transfer_seed", note)
    missing = "no standard backbone here" if not len(samples[1]) else "n of 1: no test"
    return Sides(*samples, "none", missing)


def one_backbone(
    robust: pd.DataFrame, standard: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Keep one pretraining a side: the smallest seed that both have, else each side's smallest.

    Returns:
        The rows kept on each side, and the note that says what the inference is conditional on.
    """
    seeds = [set(rows["pretrain_seed"].dropna()) for rows in (robust, standard)]
    common = seeds[0] & seeds[1]
    chosen = [min(common) if common else min(side, default=None) for side in seeds]
    kept = [
        rows if seed is None else rows[rows["pretrain_seed"] == seed]
        for rows, seed in zip((robust, standard), chosen, strict=True)
    ]
    names = ["unknown" if seed is None else str(seed) for seed in chosen]
    which = names[0] if names[0] == names[1] else f"{names[0]} (robust) and {names[1]} (standard)"
    return kept[0], kept[1], f"conditional on the backbones of pretrain seed {which}"


def _values(sample: pd.Series) -> np.ndarray:
    return sample.to_numpy(dtype=np.float64)
