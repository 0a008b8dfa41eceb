"""Scores of predictions: accuracies, log loss and calibration, from logits and labels alone."""

from collections.abc import Callable

import numpy as np

from robust_transfer.errors import ConfigError, did_you_mean

#: Bins of the calibration error. Source: Guo et al. 2017, arXiv:1706.04599, section 5.
CALIBRATION_BINS = 15


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is their class's, in [0, 1].

    Args:
        logits: (n, classes), n at least 1; a row that is not finite counts as wrong.
        labels: (n,) integers below `classes`.
    """
    return float(_right(logits, labels).mean())


def mean_per_class(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over classes of the share of their images that are right, in [0, 1].

    Classes without an image do not count.

    Args:
        logits: (n, classes), n at least 1; a row that is not finite counts as wrong.
        labels: (n,) integers below `classes`.

    Source: the paper's metric for Aircraft, Caltech-101, Caltech-256, Flowers and Pets (Salman
    et al. 2020, arXiv:2007.08489, captions of figures 2 and 3: "re-weighted accuracy").
    """
    images = np.bincount(labels)
    right = np.bincount(labels, weights=_right(logits, labels))
    present = images > 0
    return float((right[present] / images[present]).mean())


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats, 0 or more.

    Args:
        logits: (n, classes), finite, n at least 1.
        labels: (n,) integers below `classes`.
    """
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def calibration_error(
    logits: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Return the expected calibration error, in [0, 1]: how far confidence is from accuracy.

    Images are put into `bins` equal intervals (a, b] of confidence, their largest softmax
    probability; the gaps between accuracy and mean confidence are averaged by number of images.

    Args:
        logits: (n, classes), finite, n at least 1.
        labels: (n,) integers below `classes`.
        bins: number of intervals.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    confidence = np.exp(log_probabilities(logits).max(axis=1)).clip(0, 1)
    place = np.ceil(confidence * bins).astype(np.int64).clip(1, bins) - 1
    gaps = np.bincount(place, weights=_right(logits, labels) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


#: What a dataset can be judged by.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "top1": top1,
    "mean_per_class": mean_per_class,
}


def score(metric: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """Return accuracy by a dataset's metric, in [0, 1].

    Args:
        metric: `top1` or `mean_per_class`.
        logits: (n, classes).
        labels: (n,) integers below `classes`.

    Raises:
        ConfigError: no such metric.
    """
    if metric not in METRICS:
        raise ConfigError(
            f"metric: unknown value '{metric}'. Choose one of {', '.join(METRICS)}."
            f"{did_you_mean(metric, METRICS)}"
        )
    return METRICS[metric](logits, labels)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return (n, classes) log-softmax in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (n,) float: 1 where the prediction is right, else 0."""
    finite = np.isfinite(logits).all(axis=1)
    return ((logits.argmax(axis=1) == labels) & finite).astype(np.float64)
