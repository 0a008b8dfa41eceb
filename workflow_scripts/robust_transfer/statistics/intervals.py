"""Intervals of one number: of a mean of replicates, and of a share of test images."""

import numpy as np
from scipy.special import ndtri, stdtrit


def mean_interval(values: np.ndarray, *, confidence: float) -> tuple[float, float]:
    """Return Student's t interval of a mean.

    Args:
        values: (n,) replicates.
        confidence: such as 0.95.

    Returns:
        Its ends, not cut to any range; NaN for fewer than 2 values or a missing one.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2))
    half *= float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def share_interval(share: float, n: float, *, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of independent images.

    It says how well one run's accuracy is known from this many test images; it knows nothing of
    other seeds.

    Args:
        share: in [0, 1].
        n: images, above 0; NaN where unknown.
        confidence: such as 0.95.

    Returns:
        Its ends in [0, 1]; NaN where `n` or `share` is unknown.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    if not (n > 0 and 0 <= share <= 1):
        return np.nan, np.nan
    z = float(ndtri(0.5 + confidence / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
