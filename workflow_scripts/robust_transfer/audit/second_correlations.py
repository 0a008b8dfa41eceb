"""Correlations, a second time: SciPy's Pearson, every pairing counted, closed partial formulas."""

import itertools
import math
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from robust_transfer.audit.second_tests import Row, grouped

PLACE = ("mode", "dataset", "resolution", "norm", "source", "protocol", "metric", "origin")
EXACT_UP_TO, DRAWN_UP_TO = 9, 10
DRAWS = 20_000


def correlations(rows: list[Row], confidence: float) -> list[Row]:
    """Correlate source with transfer accuracy, pooled and at each epsilon.

    Args:
        rows: of accuracy.csv, numbers as floats, empty cells as None.
        confidence: of the intervals.

    Returns:
        Rows with the columns of pearson.csv that are computed.
    """
    found = []
    for key, group in grouped(_with_lent(rows), PLACE).items():
        place = dict(zip(PLACE, key, strict=True))
        points, unit = _points(group)
        place["unit"] = unit
        pooled = _correlated(points, confidence) | _given_epsilon(points)
        found.append(place | {"epsilon": None} | pooled)
        for epsilon in sorted({point[0] for point in points}):
            at = [point for point in points if point[0] == epsilon]
            found.append(place | {"epsilon": epsilon} | _correlated(at, confidence))
    return found


Point = tuple[float, float, float]  # epsilon, source accuracy, transfer accuracy


def _with_lent(rows: list[Row]) -> list[Row]:
    """Keep rows with both accuracies; standard backbones count for every norm."""
    kept = [row for row in rows if row["accuracy"] is not None]
    keys = ("mode", "dataset", "resolution", "architecture", "source", "protocol", "metric",
            "origin")  # fmt: skip
    lent = []
    for group in grouped(kept, keys).values():
        own = {row["norm"] for row in group if row["epsilon"] == 0 and row["norm"]}
        for norm in ({row["norm"] for row in group if row["norm"]} - own) if own else ():
            lent += [row | {"norm": norm} for row in group
                     if row["epsilon"] == 0 and row["norm"] == min(own)]  # fmt: skip
    return [row for row in kept + lent if row["source_accuracy"] is not None]


def _points(group: list[Row]) -> tuple[list[Point], str]:
    """Average over transfer seeds; from three architectures on over pretrainings too."""
    backbones = {
        key: (fmean(r["source_accuracy"] for r in rows), fmean(r["accuracy"] for r in rows))
        for key, rows in grouped(group, ("architecture", "epsilon", "pretrain_seed")).items()
    }
    if len({key[0] for key in backbones}) < 3:
        return [(key[1], *values) for key, values in backbones.items()], "backbone"
    merged: dict[tuple[Any, float], list[tuple[float, float]]] = {}
    for (architecture, epsilon, _), values in backbones.items():
        merged.setdefault((architecture, epsilon), []).append(values)
    return [(epsilon, fmean(v[0] for v in values), fmean(v[1] for v in values))
            for (_, epsilon), values in merged.items()], "architecture"  # fmt: skip


def _correlated(points: list[Point], confidence: float) -> Row:
    """Correlate some points."""
    n = len(points)
    empty = dict.fromkeys(("r", "ci_low", "ci_high", "p_value", "p_t", "r_squared"))
    said: Row = {"n": float(n), **empty}
    x, y = (np.array([point[place] for point in points]) for place in (1, 2))
    if n < 3 or _flat(x) or _flat(y):
        return said
    test = stats.pearsonr(x, y)
    r = float(np.clip(test.statistic, -1, 1))
    said |= {"r": r, "r_squared": r * r, "p_t": float(test.pvalue), "p_value": _p(x, y, test)}
    if n > 3 and abs(r) < 1:
        interval = test.confidence_interval(confidence)
        said |= {"ci_low": float(interval.low), "ci_high": float(interval.high)}
    elif n > 3:
        said |= {"ci_low": r, "ci_high": r}
    return said


def _flat(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _p(x: np.ndarray, y: np.ndarray, test: Any) -> float | tuple[float, float]:
    """Return the p value by pairings for small n; drawn ones with the error of drawing."""
    n = len(x)
    if n > DRAWN_UP_TO:
        return float(test.pvalue)
    x, y = x - x.mean(), y - y.mean()
    least = abs(float(x @ y)) - 1e-10 * math.sqrt(float(x @ x) * float(y @ y))
    if n <= EXACT_UP_TO:
        extreme = total = 0
        orders = itertools.permutations(range(n))
        while block := list(itertools.islice(orders, 50_000)):
            extreme += int((np.abs(y[np.array(block)] @ x) >= least).sum())
            total += len(block)
        return extreme / total
    generator = np.random.default_rng(12345)  # another seed than the table's
    sums = [abs(float(generator.permutation(y) @ x)) for _ in range(DRAWS)]
    p = sum(value >= least for value in sums) / DRAWS
    return p, 6 * math.sqrt(max(p * (1 - p), 1 / DRAWS) / DRAWS)


def _given_epsilon(points: list[Point]) -> Row:
    """Correlate given epsilon, as a category (within) and as a number (partial)."""
    names = ("within_r", "within_p_value", "partial_r", "partial_p_value")
    said: Row = dict.fromkeys(names)
    levels = sorted({point[0] for point in points})
    if len(levels) < 2:
        return said
    e, x, y = (np.array([point[place] for point in points]) for place in range(3))
    n = len(points)
    apart = []
    for values in (x, y):
        rest = values.copy()
        for level in levels:
            rest[e == level] -= values[e == level].mean()
        apart.append(rest)
    scale = [max(np.abs(v).max(), np.ptp(v)) for v in (x, y)]
    left = all(np.abs(r).max() > 1e-12 * s for r, s in zip(apart, scale, strict=True))
    dof = n - len(levels) - 1
    if left and dof >= 1:
        r = float(apart[0] @ apart[1] / math.sqrt((apart[0] @ apart[0]) * (apart[1] @ apart[1])))
        said |= {"within_r": r, "within_p_value": _p_by_t(r, dof)}
    if n >= 4 and not (_flat(x) or _flat(y)):
        xy, xe, ye = (float(np.corrcoef(a, b)[0, 1]) for a, b in ((x, y), (x, e), (y, e)))
        unexplained = (1 - xe * xe) * (1 - ye * ye)
        if unexplained > 1e-20:
            r = (xy - xe * ye) / math.sqrt(unexplained)
            said |= {"partial_r": r, "partial_p_value": _p_by_t(r, n - 3)}
    return said


def _p_by_t(r: float, dof: int) -> float:
    """Return the two-sided p value of a correlation with so many degrees of freedom."""
    if abs(r) >= 1:
        return 0.0
    return float(2 * stats.t.sf(abs(r) * math.sqrt(dof / (1 - r * r)), dof))
