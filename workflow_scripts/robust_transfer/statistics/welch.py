"""Welch's t-test of robust against standard, for every place that the study has."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln, stdtr, stdtrit

from robust_transfer.statistics.holm import holm
from robust_transfer.statistics.power import detectable_difference, welch_dof
from robust_transfer.statistics.replicates import COMPARED, comparisons, sides
from robust_transfer.statistics.tables import make_table

#: Columns of welch.csv: those that others rely on, then the rest.
COLUMNS = (
    "mode", "dataset", "resolution", "architecture", "norm", "epsilon", "n_robust", "n_standard",
    "mean_robust", "mean_standard", "difference", "ci_low", "ci_high", "t", "dof", "p_value",
    "p_adjusted", "replicate", "p_greater", "p_greater_adjusted", "hedges_g", "sd_robust",
    "sd_standard", "detectable", "family", "source", "protocol", "metric", "origin", "note",
)  # fmt: skip
#: Spread below this share of the values is rounding: a test on it would be of noise.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Welch:
    """The comparison of two samples; NaN where it cannot be made, and `note` says why.

    Attributes:
        n_robust: values on this side.
        n_standard: values on this side.
        mean_robust: mean.
        mean_standard: mean.
        sd_robust: standard deviation, with n - 1.
        sd_standard: standard deviation, with n - 1.
        difference: robust minus standard.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end.
        t: Welch's statistic.
        dof: degrees of freedom of Welch and Satterthwaite.
        p_value: two-sided.
        p_greater: one-sided: small when robust is greater.
        hedges_g: difference in pooled standard deviations, corrected for small samples.
        note: why there is no test, or empty.
    """

    n_robust: int
    n_standard: int
    mean_robust: float
    mean_standard: float
    sd_robust: float
    sd_standard: float
    difference: float
    ci_low: float = np.nan
    ci_high: float = np.nan
    t: float = np.nan
    dof: float = np.nan
    p_value: float = np.nan
    p_greater: float = np.nan
    hedges_g: float = np.nan
    note: str = ""


def welch(robust: np.ndarray, standard: np.ndarray, *, confidence: float) -> Welch:
    """Compare two samples whose variances may differ.

    Args:
        robust: (n,) values.
        standard: (m,) values.
        confidence: of the interval, such as 0.95.

    Returns:
        The comparison; without a test where a side has fewer than 2 values, a value is missing,
        or neither side has any spread.

    Source: Welch 1947, Biometrika 34, 28-35.
    """
    samples = [np.asarray(side, dtype=np.float64) for side in (robust, standard)]
    sizes = [len(side) for side in samples]
    means = [float(side.mean()) if len(side) else np.nan for side in samples]
    spreads = [_spread(side) for side in samples]
    said: dict[str, Any] = {
        "n_robust": sizes[0], "n_standard": sizes[1], "mean_robust": means[0],
        "mean_standard": means[1], "sd_robust": spreads[0], "sd_standard": spreads[1],
        "difference": means[0] - means[1],
    }  # fmt: skip
    if not all(np.isfinite(side).all() for side in samples):
        return Welch(**said, note="a value is missing: no test")
    if min(sizes) < 2:
        return Welch(**said, note="n of 1: no test")
    if not max(spreads) > 0:
        return Welch(**said, note="no spread on either side: no test")
    error = (spreads[0] ** 2 / sizes[0] + spreads[1] ** 2 / sizes[1]) ** 0.5
    dof = welch_dof(spreads[0], spreads[1], sizes[0], sizes[1])
    t = said["difference"] / error
    half = float(stdtrit(dof, 0.5 + confidence / 2)) * error
    return Welch(
        **said, ci_low=said["difference"] - half, ci_high=said["difference"] + half, t=t, dof=dof,
        p_value=float(2 * stdtr(dof, -abs(t))), p_greater=float(stdtr(dof, -t)),
        hedges_g=hedges_g(*samples),
    )  # fmt: skip


def _spread(side: np.ndarray) -> float:
    """Return the standard deviation; 0 where the values differ by rounding alone."""
    if len(side) < 2:
        return np.nan
    spread = float(side.std(ddof=1))
    return 0.0 if spread <= ROUNDING * max(1.0, float(np.abs(side).max())) else spread


def hedges_g(robust: np.ndarray, standard: np.ndarray) -> float:
    """Return the standardised difference, corrected exactly for the bias of small samples.

    Args:
        robust: (n,) values, n at least 2.
        standard: (m,) values, m at least 2.

    Returns:
        The difference in pooled standard deviations; NaN without spread.

    Source: Hedges 1981, J. Educ. Statist. 6, 107-128, equation 6e.
    """
    dof = len(robust) + len(standard) - 2
    squares = ((robust - robust.mean()) ** 2).sum() + ((standard - standard.mean()) ** 2).sum()
    if not squares > 0:
        return np.nan
    correction = np.exp(gammaln(dof / 2) - gammaln((dof - 1) / 2)) / (dof / 2) ** 0.5
    return float(correction * (robust.mean() - standard.mean()) / (squares / dof) ** 0.5)


def welch_table(
    accuracy: pd.DataFrame, *, confidence: float, tests: Collection[str] = ("welch",)
) -> pd.DataFrame:
    """Test robust against standard wherever both were transferred.

    Args:
        accuracy: rows of accuracy.csv.
        confidence: of the intervals; 1 - confidence is the level that `detectable` is for.
        tests: names of the tests wanted; without "welch" the table is empty.

    Returns:
        `COLUMNS`, one row for each place and epsilon above 0. `p_adjusted` is Holm's over the
        `family`: all tests of one protocol and origin. `detectable` is the difference that these
        samples would have found with a probability of 0.8.
    """
    rows = []
    for place, robust, standard in comparisons(accuracy) if "welch" in tests else ():
        for epsilon, at_epsilon in robust.groupby("epsilon"):
            both = sides(at_epsilon, standard)
            compared = welch(both.robust, both.standard, confidence=confidence)
            rows.append(place | {"epsilon": epsilon} | compared_row(
                compared, unit=both.unit, note=both.note, level=1 - confidence))  # fmt: skip
    order = ["origin", "mode", "dataset", "resolution", "architecture", "norm", "epsilon"]
    return adjusted(make_table(rows, COLUMNS)).sort_values(
        [*order, *(name for name in COMPARED if name not in order)], kind="stable"
    ).reset_index(drop=True)  # fmt: skip


def compared_row(compared: Welch, *, unit: str, note: str, level: float) -> dict[str, Any]:
    """Return a comparison as a row: its numbers, the unit, and what to know about it.

    Args:
        compared: what `welch` found.
        unit: the unit of replication.
        note: what the inference is conditional on.
        level: of the test that `detectable` is for, such as 0.05.
    """
    row = asdict(compared)
    row["replicate"] = (
        unit if np.isfinite(compared.p_value) or "spread" in compared.note else "none"
    )
    notes = [note] if unit == "none" else [note, compared.note]
    row["note"] = "; ".join(text for text in notes if text)
    row["detectable"] = detectable_difference(
        compared.sd_robust, compared.sd_standard, compared.n_robust, compared.n_standard,
        level=level,
    )  # fmt: skip
    return row


def adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Name the families of tests, one for each protocol and origin, and adjust by Holm.

    Args:
        table: with `protocol`, `origin`, `p_value` and `p_greater`.

    Returns:
        The table with `family`, `p_adjusted` and `p_greater_adjusted`.
    """
    table = table.copy()
    for (protocol, origin), group in table.groupby(["protocol", "origin"], dropna=False):
        tested = int(group["p_value"].notna().sum())
        number = f"all {tested} tests" if tested else "no test"
        name = f"{number} of protocol {protocol}, origin {origin}"
        table.loc[group.index, "family"] = name
        for raw, to in (("p_value", "p_adjusted"), ("p_greater", "p_greater_adjusted")):
            table.loc[group.index, to] = holm(group[raw].to_numpy(dtype=np.float64))
    return table
