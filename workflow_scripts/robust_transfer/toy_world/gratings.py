"""The planted non-robust feature: one faint stripe pattern a class."""

import numpy as np

from robust_transfer.errors import DataError

SHORTEST_PERIOD = 3.0  # pixels: fine enough to be no part of a character's shape
LONGEST_PERIOD = 8.0  # pixels: a class's stripes differ from others in direction or in period
DIRECTIONS = 4


def grating_patterns(classes: int, size: int) -> np.ndarray:
    """Return one grey cosine grating a class, of norm 1, all orthogonal.

    The wave vectors are different whole numbers of cycles an image, so that the patterns are
    orthogonal exactly (up to rounding) by the discrete Fourier basis.

    Args:
        classes: how many patterns.
        size: pixels a side.

    Returns:
        (classes, size, size, 3) float32, each of L2 norm 1 and mean 0.

    Raises:
        DataError: an image of this size does not hold so many.
    """
    chosen = _wave_vectors(classes, size)
    if len(np.unique(chosen, axis=0)) < classes:
        raise DataError(
            f"toy dataset, size: {size} pixels a side do not hold {classes} different gratings, "
            "one for each class.\n  Use a larger size, or grating: 0."
        )
    # Golden-ratio steps: phases that share no symmetry with the image's middle.
    phase = (np.arange(classes) * 0.618) % 1
    y, x = np.mgrid[:size, :size]
    cycles = chosen[:, 0, None, None] * x + chosen[:, 1, None, None] * y
    stripes = np.cos(2 * np.pi * (cycles / size + phase[:, None, None]))
    # A cosine has mean square 1/2, over size * size pixels in 3 equal channels.
    unit = stripes / np.sqrt(1.5 * size * size)
    return np.repeat(unit[..., None], 3, axis=-1).astype(np.float32)


def _wave_vectors(classes: int, size: int) -> np.ndarray:
    """Spread whole wave vectors (cycles an image) over directions and periods: (classes, 2)."""
    periods = np.geomspace(SHORTEST_PERIOD, LONGEST_PERIOD, -(-classes // DIRECTIONS))
    angles = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    radius, angle = np.meshgrid(size / periods, angles, indexing="ij")
    waves = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return waves.reshape(-1, 2)[:classes].round().astype(int)
