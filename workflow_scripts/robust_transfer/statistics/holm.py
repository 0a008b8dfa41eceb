"""Holm's adjustment: p values of a family of tests, so that the family errs at one level."""

import numpy as np


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust p values of one family.

    Args:
        p_values: (m,) in [0, 1]; NaN is no test, does not count, and stays NaN.

    Returns:
        (m,) adjusted p values: reject where one is below the level of the family.

    Source: Holm 1979, Scand. J. Statist. 6, 65-70.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
