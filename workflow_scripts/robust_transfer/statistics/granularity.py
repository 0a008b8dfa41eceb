"""Granularity: how fine the differences are that a dataset's classes hang on.

Resolution alone is a crude measure. These are computed from the image cache and from the features
of a frozen backbone, before any transfer; which of them predicts the best epsilon is another
question (`granularity_prediction`).
"""

import numpy as np

#: Most images that pairs of images are formed of: a few thousand give two digits.
SAMPLE = 2_000


def class_distances(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure how far classes are apart, and how wide they are.

    Args:
        features: (n, d), finite.
        labels: (n,) classes.

    Returns:
        `within`: mean squared distance of an image to its class's mean; `between`: mean squared
        distance of two class means, for an image of either class; `separation`: between / within
        (large: coarse classes; NaN with one class, or without any spread within).
    """
    features, names, place = _by_class(features, labels)
    counts = np.bincount(place).astype(np.float64)
    means = _class_means(features, place, counts)
    within = float(((features - means[place]) ** 2).sum(axis=1).mean())
    shares = counts / counts.sum()
    weights = np.outer(shares, shares)
    np.fill_diagonal(weights, 0.0)
    between = np.nan
    if len(names) > 1:
        between = float((weights * _squared_distances(means, means)).sum() / weights.sum())
    return {
        "within": within,
        "between": between,
        "separation": between / within if within > 0 else np.nan,
    }


def nearest_mean_margin(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure by how much images are nearer to their own class's mean than to another's.

    An image's own class mean is taken without the image, or small classes would look easy.
    Classes of a single image have no such mean and are left out as own classes.

    Args:
        features: (n, d), finite.
        labels: (n,) classes, at least two of them.

    Returns:
        `margin`: mean over images of (d_other - d_own) / (d_other + d_own), in [-1, 1], with d the
        distance to the nearest other mean and to the own one; `accuracy`: share of images nearer
        to their own mean. NaN with one class.
    """
    features, names, place = _by_class(features, labels)
    counts = np.bincount(place).astype(np.float64)
    if len(names) < 2 or not (counts > 1).any():
        return {"margin": np.nan, "accuracy": np.nan}
    means = _class_means(features, place, counts)
    distances = np.sqrt(_squared_distances(features, means))
    rows = np.arange(len(features))
    n = counts[place]
    alone = n < 2
    # Leaving itself out moves an image n / (n - 1) times as far from the mean of its class.
    own = distances[rows, place] * n / np.where(alone, 1.0, n - 1)
    distances[rows, place] = np.inf
    other = distances.min(axis=1)
    own, other = own[~alone], other[~alone]
    total = own + other
    margin = np.divide(other - own, total, out=np.zeros_like(total), where=total > 0)
    return {"margin": float(margin.mean()), "accuracy": float((other > own).mean())}


def intrinsic_dimension(points: np.ndarray, *, seed: int = 0, kept: float = 0.9) -> float:
    """Estimate how many directions a cloud of points really fills.

    Args:
        points: (n, d); copies of a point count once; at most `SAMPLE` of them are used.
        seed: of the sample.
        kept: share of the points used, those with the smallest ratio of the distances to their
            second and first neighbour: the largest ratios are the least uniform surroundings.

    Returns:
        The dimension; NaN for fewer than 10 distinct points.

    Source: Facco et al. 2017, Sci. Rep. 7, 12140 (TwoNN), equation 5 fitted through the origin.
    """
    points = np.unique(_sample(points, seed), axis=0).astype(np.float64)
    n = len(points)
    if n < 10:
        return np.nan
    distances = _squared_distances(points, points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.sqrt(np.partition(distances, 1, axis=1)[:, :2])
    nearest = nearest[nearest[:, 0] > 0]
    n = len(nearest)
    ratio = np.sort(np.log(nearest[:, 1] / nearest[:, 0]))
    empirical = -np.log1p(-np.arange(1, n) / n)
    used = max(2, int(kept * n))
    x, y = ratio[: used - 1], empirical[: used - 1]
    return float(x @ y / (x @ x)) if x @ x > 0 else np.nan


def high_frequency_energy(images: np.ndarray, *, above: float = 0.25) -> float:
    """Return the share of images' energy in fine detail.

    Args:
        images: (n, height, width, 3) uint8 or float, all of one size, at least 2 pixels a side.
        above: frequency that detail begins at, in cycles a pixel: 0.5 is the finest grid.

    Returns:
        Mean over images of the share in [0, 1] of the spectrum of the grey image, without its
        mean, that lies above; an image of one colour counts as 0.
    """
    grey = np.asarray(images, dtype=np.float64) @ np.array([0.299, 0.587, 0.114])  # BT.601
    height, width = grey.shape[1:]
    spectrum = np.abs(np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    total = spectrum.sum(axis=(1, 2))
    high = spectrum[:, frequency > above].sum(axis=1)
    # Below this the energy is rounding of the transform.
    lit = total > 1e-9 * height * width
    return float(np.divide(high, total, out=np.zeros_like(total), where=lit).mean())


def measures(features: np.ndarray, labels: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Compute every measure of a dataset.

    Args:
        features: (n, d) of the training images, from a frozen backbone.
        labels: (n,) classes.
        images: (m, height, width, 3), all or some of them, of one size.

    Returns:
        Name -> measure.
    """
    distances, margin = class_distances(features, labels), nearest_mean_margin(features, labels)
    return {
        "classes": float(len(np.unique(labels))),
        "separation": distances["separation"],
        "within_distance": distances["within"],
        "between_distance": distances["between"],
        "nearest_mean_margin": margin["margin"],
        "nearest_mean_accuracy": margin["accuracy"],
        "intrinsic_dimension": intrinsic_dimension(features),
        "high_frequency_energy": high_frequency_energy(images),
    }


def _by_class(
    features: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return float64 features, the classes, and each image's place among the classes."""
    names, place = np.unique(np.asarray(labels), return_inverse=True)
    return np.asarray(features, dtype=np.float64), names, place


def _class_means(features: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return (classes, d) means."""
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, place, features)
    return sums / counts[:, None]


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (len(a), len(b)) squared distances, 0 or more."""
    # Centred first: subtracting large squares would lose the digits of small distances.
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.maximum(squares, 0.0)


def _sample(points: np.ndarray, seed: int) -> np.ndarray:
    """Return at most `SAMPLE` rows, drawn without replacement."""
    if len(points) <= SAMPLE:
        return points
    rows = np.random.default_rng(seed).choice(len(points), SAMPLE, replace=False)
    return points[np.sort(rows)]
