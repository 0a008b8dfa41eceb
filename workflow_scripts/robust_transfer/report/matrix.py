"""The answer at a glance: one row a dataset, one verdict a mode."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.small_multiples import dataset_text, mode_text, modes_of
from robust_transfer.figures.style import limits
from robust_transfer.figures.verdicts import KINDS
from robust_transfer.report.answer import Answer, sentence
from robust_transfer.report.words import (
    chosen_epsilons,
    interval,
    number,
    replicates_text,
    resolution_text,
)


@dataclass(frozen=True)
class Verdict:
    """One cell of the matrix; `left`, `width`, `dot` and `zero` place its interval, in %."""

    kind: str
    words: str
    difference: str
    interval: str
    epsilon: str
    replicates: str
    sentence: str
    row: int
    left: float
    width: float
    dot: float
    zero: float


@dataclass(frozen=True)
class Matrix:
    """The matrix: names of the modes, and for each dataset its name, detail and cells."""

    modes: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Verdict | None, ...]], ...]


def matrix(said: Answer, confidence: float, toy: Collection[str]) -> Matrix:
    """Arrange the chosen comparisons by dataset and mode.

    Args:
        said: the answer, with its chosen comparisons.
        confidence: of the intervals.
        toy: names of the datasets that are toys.
    """
    chosen = said.chosen
    if chosen.empty:
        return Matrix((), ())
    modes = modes_of(chosen)
    span = (-1.0, 1.0)
    if chosen["difference"].notna().any():
        span = limits(
            [0.0, *(100 * chosen["difference"].dropna())],
            100 * chosen["ci_low"],
            100 * chosen["ci_high"],
        )
    rows = []
    keys = ["dataset", "resolution", "line", "norm"]
    many = chosen["line"].nunique() > 1
    for (dataset, resolution, line, _), group in groups_of(chosen, keys):
        by_mode = {row.mode: _verdict(row, span, confidence, toy) for row in rows_of(group)}
        detail = [resolution_text(resolution)] + [str(line)] * many
        rows.append(
            (
                dataset_text(dataset, toy),
                ", ".join(detail),
                tuple(by_mode.get(mode) for mode in modes),
            )
        )
    return Matrix(tuple(mode_text(mode) for mode in modes), tuple(rows))


def _verdict(
    row: Any, span: tuple[float, float], confidence: float, toy: Collection[str]
) -> Verdict:
    """Spell one comparison and place its interval on the common scale."""

    def share(points: float) -> float:
        part = (points - span[0]) / (span[1] - span[0])
        return round(float(np.clip(100 * part, 0, 100)), 2) if math.isfinite(part) else 0.0

    chosen = chosen_epsilons(row) or [row.epsilon]
    epsilons = [epsilon_text(one, row.norm) for one in chosen if math.isfinite(one)]
    left, right = share(100 * row.ci_low), share(100 * row.ci_high)
    return Verdict(
        kind=row.verdict,
        words=KINDS[row.verdict],
        difference=number(100 * row.difference, sign=True),
        interval=interval(row.ci_low, row.ci_high, scale=100),
        epsilon=" ".join([NORMS.get(str(row.norm), ""), " or ".join(epsilons) or "not chosen"]),
        replicates=replicates_text(row.n_robust, row.n_standard, row.replicate),
        sentence=sentence(row, confidence, toy),
        row=int(row.row),
        left=left,
        width=round(right - left, 2),
        dot=share(100 * row.difference),
        zero=share(0.0),
    )
