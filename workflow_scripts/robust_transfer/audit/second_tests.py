"""Welch tests, a second time: SciPy's t-test, loops over rows, Holm by hand."""

import math
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from scipy import stats
from scipy.optimize import brentq

Row = dict[str, Any]
COMPARED = ("mode", "dataset", "resolution", "architecture", "norm", "source", "protocol",
            "metric", "origin")  # fmt: skip


def welch_tests(rows: list[Row], confidence: float) -> list[Row]:
    """Test robust against standard at each place and epsilon.

    Args:
        rows: of accuracy.csv, numbers as floats, empty cells as None.
        confidence: of the intervals.

    Returns:
        Rows with the columns of welch.csv that are computed.
    """
    found = []
    for place, group in places(rows):
        standard = [row for row in group if row["epsilon"] == 0]
        for epsilon in sorted({row["epsilon"] for row in group} - {0.0}):
            robust = [row for row in group if row["epsilon"] == epsilon]
            a, b, unit = samples(robust, standard)
            found.append(place | {"epsilon": epsilon} | tested(a, b, unit, confidence))
    return with_holm(found)


def places(rows: list[Row]) -> list[tuple[Row, list[Row]]]:
    """Group rows by what robust and standard share; standard backbones count for every norm."""
    kept = [row | {"origin": (row["origin"] or "").split(";")[0].strip()}
            for row in rows if row["accuracy"] is not None]  # fmt: skip
    without_norm = [key for key in COMPARED if key != "norm"]
    lent = []
    for group in grouped(kept, without_norm).values():
        own = {row["norm"] for row in group if row["epsilon"] == 0 and row["norm"]}
        lacking = {row["norm"] for row in group if row["norm"]} - own
        for norm in lacking if own else ():
            lent += [row | {"norm": norm} for row in group
                     if row["epsilon"] == 0 and row["norm"] == min(own)]  # fmt: skip
    groups = grouped(kept + lent, COMPARED)
    return [(dict(zip(COMPARED, key, strict=True)), group) for key, group in groups.items()
            if any(row["epsilon"] > 0 for row in group)]  # fmt: skip


def grouped(rows: Iterable[Row], keys: Iterable[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by the values of some columns."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    names = list(keys)
    for row in rows:
        groups[tuple(row.get(key) for key in names)].append(row)
    return groups


def means_by(rows: list[Row], unit: str) -> list[float]:
    """Return the mean accuracy of each value of a column."""
    return [fmean(row["accuracy"] for row in group) for group in grouped(rows, [unit]).values()]


def samples(robust: list[Row], standard: list[Row]) -> tuple[list[float], list[float], str]:
    """Choose what counts as a replicate: pretrainings where there are two, else transfer seeds."""
    a, b = means_by(robust, "pretrain_seed"), means_by(standard, "pretrain_seed")
    if min(len(a), len(b)) >= 2:
        return a, b, "pretrain_seed"
    seeds = [{row["pretrain_seed"] for row in side} - {None} for side in (robust, standard)]
    common = seeds[0] & seeds[1]
    kept = []
    for side, own in zip((robust, standard), seeds, strict=True):
        seed = min(common) if common else min(own, default=None)
        kept.append([row for row in side if seed is None or row["pretrain_seed"] == seed])
    a, b = (means_by(side, "transfer_seed") for side in kept)
    return a, b, "transfer_seed" if min(len(a), len(b)) >= 2 else "none"


def tested(a: list[float], b: list[float], unit: str, confidence: float) -> Row:
    """Test robust values `a` against standard values `b`."""
    said: Row = {
        "n_robust": float(len(a)), "n_standard": float(len(b)),
        "mean_robust": fmean(a) if a else None, "mean_standard": fmean(b) if b else None,
        "sd_robust": _sd(a), "sd_standard": _sd(b),
    }  # fmt: skip
    said["difference"] = fmean(a) - fmean(b) if a and b else None
    empty = ("ci_low", "ci_high", "t", "dof", "p_value", "p_greater", "hedges_g", "detectable")
    if min(len(a), len(b)) < 2 or max(_sd(a) or 0, _sd(b) or 0) == 0:
        spread_lacks = min(len(a), len(b)) >= 2
        return said | dict.fromkeys(empty) | {"replicate": unit if spread_lacks else "none"}
    mean, errors = fmean(a) - fmean(b), [(_sd(side) or 0) ** 2 / len(side) for side in (a, b)]
    halves = [error**2 / (len(side) - 1) for error, side in zip(errors, (a, b), strict=True)]
    dof, half = sum(errors) ** 2 / sum(halves), math.sqrt(sum(errors))
    low, high = stats.t.interval(confidence, dof, loc=mean, scale=half)
    test = stats.ttest_ind_from_stats(
        fmean(a), _sd(a), len(a), fmean(b), _sd(b), len(b), equal_var=False
    )
    tail = float(test.pvalue) / 2
    return said | {
        "ci_low": float(low), "ci_high": float(high), "t": float(test.statistic), "dof": dof,
        "p_value": float(test.pvalue), "p_greater": tail if test.statistic > 0 else 1 - tail,
        "hedges_g": _hedges(a, b), "detectable": _detectable(half, dof, 1 - confidence),
        "replicate": unit,
    }  # fmt: skip


def _sd(values: list[float]) -> float | None:
    """Return the standard deviation; 0 where values differ by rounding alone."""
    if len(values) < 2:
        return None
    spread = stdev(values)
    return 0.0 if spread <= 1e-12 * max(1.0, *map(abs, values)) else spread


def _hedges(a: list[float], b: list[float]) -> float:
    """Return the corrected standardised difference. Source: Hedges 1981, equation 6e."""
    dof = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * stdev(a) ** 2 + (len(b) - 1) * stdev(b) ** 2) / dof
    correction = math.gamma(dof / 2) / (math.gamma((dof - 1) / 2) * math.sqrt(dof / 2))
    return correction * (fmean(a) - fmean(b)) / math.sqrt(pooled)


def _detectable(error: float, dof: float, level: float) -> tuple[float, float]:
    """Return the difference that the test finds with probability 0.8, and the error of that."""
    critical = stats.t.ppf(1 - level / 2, dof)

    def lacking(shift: float) -> float:
        below = float(stats.nct.cdf(-critical, dof, shift))  # NaN where it is too small
        above = float(stats.nct.sf(critical, dof, shift))
        return above + (0.0 if math.isnan(below) else below) - 0.8

    top = 1.0
    while lacking(top) < 0:
        top *= 2
    root = brentq(lacking, 0, top, xtol=1e-12) * error
    return root, 1e-5 * root  # two implementations of the noncentral t agree to six digits


def with_holm(rows: list[Row]) -> list[Row]:
    """Adjust p values by Holm within each protocol and origin."""
    for group in grouped(rows, ("protocol", "origin")).values():
        for raw, to in (("p_value", "p_adjusted"), ("p_greater", "p_greater_adjusted")):
            for row in group:
                row[to] = None
            compared_rows = sorted((row for row in group if row.get(raw) is not None),
                                 key=lambda row: row[raw])  # fmt: skip
            largest = 0.0
            for place, row in enumerate(compared_rows):
                largest = max(largest, (len(compared_rows) - place) * row[raw])
                row[to] = min(1.0, largest)
    return rows
