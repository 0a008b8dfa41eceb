"""Pearson's correlation, its interval, its permutation test, and partial correlation."""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtr

#: Up to this n the p value is by permutation: normality cannot be relied on.
PERMUTED_UP_TO = 10
#: Up to this n every permutation is counted (9! = 362,880), above it `DRAWS` random ones.
EXACT_UP_TO = 9
DRAWS = 99_999
#: Spread below this share of the values is rounding: a correlation with it would be noise.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Correlation:
    """A correlation; NaN where it cannot be made, and `note` says why.

    Attributes:
        n: pairs.
        r: Pearson's correlation, or the partial one, in [-1, 1].
        ci_low: lower end of Fisher's interval.
        ci_high: upper end.
        p_value: two-sided, by `p_method`.
        p_method: how the p value was found.
        p_t: two-sided p value by Student's t, for comparison.
        note: what could not be computed, or empty.
    """

    n: int
    r: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    p_value: float = np.nan
    p_method: str = ""
    p_t: float = np.nan
    note: str = ""


def pearson(x: np.ndarray, y: np.ndarray, *, confidence: float) -> Correlation:
    """Correlate two variables.

    Args:
        x: (n,) values.
        y: (n,) values.
        confidence: of the interval, such as 0.95.

    Returns:
        The correlation; empty for n below 3, a missing value, or a variable without spread.
        The interval needs an n of 4. For n up to 10 the p value is by permutation.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (x, y))
    n = len(x)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Correlation(n, note="a value is missing")
    if n < 3:
        return Correlation(n, note=f"n of {n}: a correlation needs 3")
    if not (_has_spread(x) and _has_spread(y)):
        return Correlation(n, note="no spread in one variable")
    r = _correlate(x, y)
    low, high = fisher_interval(r, n, confidence=confidence)
    p_t = p_by_t(r, n - 2)
    if n <= PERMUTED_UP_TO:
        p_value, method = p_by_permutation(x, y)
    else:
        p_value, method = p_t, "Student's t"
    note = "" if n > 3 else "n of 3: an interval needs 4"
    return Correlation(n, r, low, high, p_value, method, p_t, note)


def partial(x: np.ndarray, y: np.ndarray, given: np.ndarray, *, confidence: float) -> Correlation:
    """Correlate what is left of two variables when others are held fixed, linearly.

    Args:
        x: (n,) values.
        y: (n,) values.
        given: (n,) or (n, k), what is held fixed; a constant is added.
        confidence: of the interval.

    Returns:
        The partial correlation with Fisher's interval and Student's p value, both with as many
        degrees of freedom fewer as `given` has independent columns.

    Source: Fisher 1924, Metron 3, 329-332.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (x, y))
    n = len(x)
    fixed = np.column_stack([np.ones(n), np.asarray(given, dtype=np.float64)])
    if not all(np.isfinite(values).all() for values in (x, y, fixed)):
        return Correlation(n, note="a value is missing")
    held = (int(np.linalg.matrix_rank(fixed)) if n else 1) - 1
    if n - held < 3:
        return Correlation(n, note=f"n of {n}: too few for {held} held fixed")
    rests = [v - fixed @ np.linalg.lstsq(fixed, v, rcond=None)[0] for v in (x, y)]
    if any(_rest_is_rounding(rest, v) for rest, v in zip(rests, (x, y), strict=True)):
        return Correlation(n, note="nothing is left to correlate")
    r = _correlate(*rests)
    low, high = fisher_interval(r, n - held, confidence=confidence)
    p_t = p_by_t(r, n - held - 2)
    return Correlation(n, r, low, high, p_t, "Student's t", p_t)


def fisher_interval(r: float, n: int, *, confidence: float) -> tuple[float, float]:
    """Return the interval of a correlation by Fisher's z.

    Args:
        r: correlation in [-1, 1]; at either end the interval is that point.
        n: pairs, less the number of variables held fixed; NaN below 4.
        confidence: such as 0.95.

    Source: Fisher 1921, Metron 1, 3-32.
    """
    if n < 4:
        return np.nan, np.nan
    if abs(r) >= 1:
        return r, r
    half = float(ndtri(0.5 + confidence / 2)) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def p_by_t(r: float, dof: int) -> float:
    """Return the two-sided p value of a correlation of normal variables.

    Args:
        r: correlation in [-1, 1].
        dof: pairs less 2, less the number of variables held fixed; at least 1.
    """
    if abs(r) >= 1:
        return 0.0
    return float(2 * stdtr(dof, -abs(r) * math.sqrt(dof / (1 - r * r))))


def p_by_permutation(x: np.ndarray, y: np.ndarray) -> tuple[float, str]:
    """Return the two-sided p value when any pairing of x and y is as likely as another.

    Args:
        x: (n,) values with spread, n at least 3.
        y: (n,) values with spread.

    Returns:
        The share of pairings with a correlation at least as far from 0, and how it was found:
        over all pairings (n up to 9), or over random ones from a fixed seed, which count the
        observed pairing too, so that p is never 0 (Phipson and Smyth 2010).
    """
    n = len(x)
    x, y = x - x.mean(), y - y.mean()
    observed = abs(x @ y)
    # Equal pairings differ by rounding; they must count as equal.
    threshold = observed - 1e-10 * math.sqrt((x @ x) * (y @ y))
    if n <= EXACT_UP_TO:
        extreme = np.abs(y[_permutations(n)] @ x) >= threshold
        return float(extreme.mean()), f"exact, {math.factorial(n)} permutations"
    generator = np.random.default_rng(0)
    shuffled = generator.permuted(np.tile(y, (DRAWS, 1)), axis=1)
    extreme = np.abs(shuffled @ x) >= threshold
    return float((extreme.sum() + 1) / (DRAWS + 1)), f"{DRAWS} random permutations, seed 0"


@lru_cache(maxsize=2)
def _permutations(n: int) -> np.ndarray:
    """Return (n!, n) int8, every order of n things."""
    return np.array(list(itertools.permutations(range(n))), dtype=np.int8)


def _correlate(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / (math.sqrt(x @ x) * math.sqrt(y @ y)), -1, 1))


def _has_spread(values: np.ndarray) -> bool:
    return bool(np.ptp(values) > ROUNDING * np.abs(values).max())


def _rest_is_rounding(rest: np.ndarray, values: np.ndarray) -> bool:
    return bool(np.abs(rest).max() <= ROUNDING * max(np.abs(values).max(), np.ptp(values)))
