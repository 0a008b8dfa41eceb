"""Smooth coloured noise to render on."""

import functools

import numpy as np

CELLS = 6  # noise cells a side: blobs of a sixth of the image
_UNIT = 4096  # spline weights are whole multiples of 1 / _UNIT
_LEVELS = 128  # control values are whole numbers from -_LEVELS to _LEVELS - 1


@functools.cache
def _spline_weights(size: int) -> np.ndarray:
    """Weights of each control point on each pixel of a uniform cubic B-spline.

    Returns:
        (size, CELLS + 3) float64 holding whole numbers, about `_UNIT` a row in all.
    """
    position = (np.arange(size) + 0.5) * CELLS / size
    cell = position.astype(int)
    t = position - cell
    bumps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((size, CELLS + 3))
    for offset, bump in enumerate(bumps):
        weights[np.arange(size), cell + offset] = np.rint(bump / 6 * _UNIT)
    return weights


def smooth_noise(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw smooth noise, independent for each colour.

    Controls and weights are whole numbers, so that every sum below 2**53 is exact in float64
    and the bytes depend neither on the number of threads nor on the matrix library.

    Args:
        rng: source of randomness.
        count: number of images.
        size: pixels a side.

    Returns:
        (count, size, size, 3) float32, within [-1, 1], standard deviation about 0.28.
    """
    control = rng.integers(-_LEVELS, _LEVELS, size=(count, 3, CELLS + 3, CELLS + 3))
    weights = _spline_weights(size)
    noise = weights @ control.astype(np.float64) @ weights.T
    scaled = (noise / (_LEVELS * _UNIT**2)).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(scaled, 1, -1))
