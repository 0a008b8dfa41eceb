"""Equivalence: when "no difference" can be claimed, and the placebo contrast that checks us.

A test that does not reject shows nothing. Two one-sided tests against a bound show that a
difference is smaller than the bound. The placebo is a contrast that should be null: backbones of
so tiny an epsilon that they are standard ones but for chance. If it comes out "different" more
often than the level, something other than robustness differs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from robust_transfer.statistics.holm import holm
from robust_transfer.statistics.replicates import COMPARED, comparisons, sides
from robust_transfer.statistics.tables import make_table
from robust_transfer.statistics.welch import Welch, welch

#: Columns of equivalence.csv.
COLUMNS = (
    "mode", "dataset", "resolution", "architecture", "norm", "epsilon", "n_robust", "n_standard",
    "difference", "ci_low", "ci_high", "bound", "p_equivalent", "p_equivalent_adjusted",
    "p_value", "detectable_bound", "placebo", "verdict", "replicate", "family", "source",
    "protocol", "metric", "origin", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests; NaN where they cannot be made.

    Attributes:
        p_value: small when the difference is within the bound.
        ci_low: lower end of the interval with coverage 1 - 2 * level, which lies within the
            bounds exactly when `p_value` is below the level.
        ci_high: upper end.
        detectable_bound: the smallest bound within which these samples show equivalence.
    """

    p_value: float
    ci_low: float
    ci_high: float
    detectable_bound: float


def equivalence(
    robust: np.ndarray, standard: np.ndarray, *, bound: float, level: float
) -> Equivalence:
    """Test whether two means differ by less than a bound, with variances that may differ.

    Args:
        robust: (n,) values.
        standard: (m,) values.
        bound: above 0, in the unit of the values.
        level: of each one-sided test, and of both together, such as 0.05.

    Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657-680; with Welch's t.
    """
    compared = welch(robust, standard, confidence=1 - 2 * level)
    if not np.isfinite(compared.t):
        return Equivalence(np.nan, np.nan, np.nan, np.nan)
    excess = (abs(compared.difference) - bound) / _error(compared)
    p_value = float(stdtr(compared.dof, excess))
    edge = max(abs(compared.ci_low), abs(compared.ci_high))
    return Equivalence(p_value, compared.ci_low, compared.ci_high, edge)


def _error(compared: Welch) -> float:
    """Return the standard error of a difference."""
    robust, standard = compared.sd_robust**2, compared.sd_standard**2
    return (robust / compared.n_robust + standard / compared.n_standard) ** 0.5


def replicates_for(sd: float, *, bound: float, level: float, wanted: float = 0.8) -> int:
    """Return how many replicates a side show equivalence when there is truly no difference.

    Args:
        sd: standard deviation of a replicate, above 0.
        bound: above 0, in the same unit.
        level: of the test.
        wanted: power. Source of 0.8: Cohen 1988, section 2.4.

    Returns:
        The smallest number, at least 2, by the normal approximation with Student's quantiles.
    """
    n = 2
    while True:
        dof = 2 * n - 2
        need = stdtrit(dof, 1 - level) + stdtrit(dof, 0.5 + wanted / 2)
        if need * sd * (2 / n) ** 0.5 <= bound:
            return n
        n += 1


def equivalence_table(
    accuracy: pd.DataFrame, *, bound: float, placebo_epsilon: float, confidence: float
) -> pd.DataFrame:
    """Test robust and standard for equivalence, and mark the placebo contrasts.

    Args:
        accuracy: rows of accuracy.csv.
        bound: difference of accuracy, in [0, 1], that does not matter.
        placebo_epsilon: L2 backbones up to this epsilon are placebos, in pixel units. No Linf
            one is: 0.5/255 in every pixel of a 224 x 224 image has an L2 norm of 0.76.
        confidence: 1 - confidence is the level of the tests.

    Returns:
        `COLUMNS`, one row for each place and epsilon above 0. The interval covers
        1 - 2 * (1 - confidence), as the two tests do. `verdict`: "different" (Welch's test
        rejects), "equivalent" (within the bound), "both" (different, but by less than the bound),
        "undecided", or "untested"; both p values before adjustment, for a placebo is one contrast
        that is looked at on its own. `p_equivalent_adjusted` is Holm's over the `family`.
    """
    level, rows = 1 - confidence, []
    for place, robust, standard in comparisons(accuracy):
        for epsilon in sorted(robust["epsilon"].unique()):
            at_epsilon = robust[robust["epsilon"] == epsilon]
            both = sides(at_epsilon, standard)
            tested = welch(both.robust, both.standard, confidence=confidence)
            shown = equivalence(both.robust, both.standard, bound=bound, level=level)
            rows.append(place | {
                "epsilon": epsilon, "n_robust": tested.n_robust, "n_standard": tested.n_standard,
                "difference": tested.difference, "ci_low": shown.ci_low, "ci_high": shown.ci_high,
                "bound": bound, "p_equivalent": shown.p_value, "p_value": tested.p_value,
                "detectable_bound": shown.detectable_bound,
                "placebo": float(place["norm"] == "l2" and epsilon <= placebo_epsilon),
                "replicate": both.unit, "verdict": _verdict(tested.p_value, shown.p_value, level),
                "note": both.note,
            })  # fmt: skip
    order = ["origin", "mode", "dataset", "resolution", "architecture", "norm", "epsilon"]
    order += [name for name in COMPARED if name not in order]
    table = make_table(rows, COLUMNS).sort_values(order, kind="stable").reset_index(drop=True)
    for (protocol, origin), group in table.groupby(["protocol", "origin"], dropna=False):
        name = f"all tests of equivalence of protocol {protocol}, origin {origin}"
        table.loc[group.index, "family"] = name
        found = holm(group["p_equivalent"].to_numpy(dtype=np.float64))
        table.loc[group.index, "p_equivalent_adjusted"] = found
    return table


def _verdict(p_different: float, p_equivalent: float, level: float) -> str:
    if not np.isfinite(p_different):
        return "untested"
    different, equivalent = p_different < level, p_equivalent < level
    if different and equivalent:
        return "both"
    return "different" if different else "equivalent" if equivalent else "undecided"


def placebo_rate(table: pd.DataFrame, *, level: float) -> dict[str, Any]:
    """Count how often the placebo contrasts come out different.

    Args:
        table: as `equivalence_table` returns it.
        level: of the tests; about this share of true placebos is "different" by chance.

    Returns:
        `tested`, `different` and `rate` (NaN without a test).
    """
    placebo = table[(table["placebo"] == 1) & table["p_value"].notna()]
    different = int((placebo["p_value"] < level).sum())
    rate = different / len(placebo) if len(placebo) else np.nan
    return {"tested": len(placebo), "different": different, "rate": rate}
