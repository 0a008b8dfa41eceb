"""Power: what difference a number of replicates could have seen."""

import numpy as np
from scipy.special import nctdtr, stdtrit


def welch_dof(sd_a: float, sd_b: float, n_a: int, n_b: int) -> float:
    """Return the degrees of freedom of Welch and Satterthwaite.

    Args:
        sd_a: standard deviation of one side.
        sd_b: of the other; not both 0.
        n_a: values on one side, at least 2.
        n_b: on the other, at least 2.
    """
    a, b = sd_a**2 / n_a, sd_b**2 / n_b
    return (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))


def power(
    difference: float, sd_a: float, sd_b: float, n_a: int, n_b: int, *, level: float
) -> float:
    """Return the probability that a two-sided Welch test finds a true difference.

    Args:
        difference: the true difference, in the unit of the standard deviations.
        sd_a: standard deviation of one side.
        sd_b: of the other; not both 0.
        n_a: values on one side, at least 2.
        n_b: on the other, at least 2.
        level: of the test, such as 0.05.

    Returns:
        A probability in [level, 1], by a noncentral t with Welch's degrees of freedom at the
        true variances. The test itself has to estimate these, and with 3 values a side it finds
        less: 0.69 where this says 0.8 (docs/statistics.md).
    """
    dof = welch_dof(sd_a, sd_b, n_a, n_b)
    shift = abs(difference) / (sd_a**2 / n_a + sd_b**2 / n_b) ** 0.5
    critical = stdtrit(dof, 1 - level / 2)
    below = nctdtr(dof, shift, -critical)  # NaN, now and then, where it is next to nothing
    return float(1 - nctdtr(dof, shift, critical) + (0.0 if np.isnan(below) else below))


def detectable_difference(
    sd_a: float, sd_b: float, n_a: int, n_b: int, *, level: float, wanted: float = 0.8
) -> float:
    """Return the smallest true difference that a test finds with the wanted probability.

    Args:
        sd_a: standard deviation of one side.
        sd_b: of the other.
        n_a: values on one side.
        n_b: on the other.
        level: of the two-sided test, such as 0.05.
        wanted: the power, between the level and 1. Source of 0.8: Cohen 1988, section 2.4.

    Returns:
        A difference above 0, in the unit of the standard deviations; NaN where no test is
        possible (fewer than 2 values on a side, no spread).
    """
    if min(n_a, n_b) < 2 or not (np.isfinite([sd_a, sd_b]).all() and max(sd_a, sd_b) > 0):
        return np.nan
    unit = (sd_a**2 / n_a + sd_b**2 / n_b) ** 0.5
    low, high = 0.0, unit
    while power(high, sd_a, sd_b, n_a, n_b, level=level) < wanted:
        low, high = high, 2 * high
    for _ in range(60):  # halves the bracket down to the last bits
        middle = (low + high) / 2
        if power(middle, sd_a, sd_b, n_a, n_b, level=level) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
