"""Accuracies from predictions, a second time: image by image, and by SciPy's softmax."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

BINS = 15


def scores(path: Path, metric: str) -> dict[str, Any]:
    """Score one file of predictions.

    Args:
        path: an .npz of `labels` and `logits`.
        metric: `top1` or `mean_per_class`.

    Returns:
        The scores under the names of accuracy.csv.
    """
    with np.load(path, allow_pickle=False) as stored:
        labels, logits = stored["labels"].tolist(), stored["logits"].astype(np.longdouble)
    right = [int(np.argmax(row)) == label for row, label in zip(logits, labels, strict=True)]
    by_class: dict[int, list[bool]] = {}
    for label, hit in zip(labels, right, strict=True):
        by_class.setdefault(label, []).append(hit)
    top1 = sum(right) / len(right)
    shares = [sum(hits) / len(hits) for hits in by_class.values()]
    mean_per_class = sum(shares) / len(shares)
    logs = log_softmax(logits.astype(np.float64), axis=1)
    return {
        "n_test": float(len(labels)),
        "accuracy": {"top1": top1, "mean_per_class": mean_per_class}[metric],
        "top1": top1,
        "mean_per_class": mean_per_class,
        "log_loss": -float(np.mean([row[label] for row, label in zip(logs, labels, strict=True)])),
        "calibration_error": _calibration_error(np.exp(logs).max(axis=1), np.array(right)),
    }


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error over equal intervals (a, b] of confidence."""
    total = 0.0
    for place in range(BINS):
        low = -1.0 if place == 0 else place / BINS
        inside = (confidence > low) & (confidence <= (place + 1) / BINS)
        if place == BINS - 1:
            inside |= confidence > 1  # by rounding
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return float(total / len(right))
