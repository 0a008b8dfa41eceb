"""Where a model errs: its confusion matrix, and the images that it gets most wrong."""

import numpy as np

from robust_transfer.transfer.predictions import Predictions


def confusion(predictions: Predictions) -> np.ndarray:
    """Count the test images of each true class (row) by predicted class (column).

    Args:
        predictions: of the test split.

    Returns:
        (classes, classes) int64; the diagonal is right.
    """
    classes = predictions.logits.shape[1]
    places = predictions.labels * classes + predictions.predicted
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def losses(predictions: Predictions) -> np.ndarray:
    """Return the cross-entropy of each image, in nats: (n,) float64.

    Args:
        predictions: of the test split.
    """
    logits = predictions.logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_label = shifted[np.arange(len(logits)), predictions.labels]
    return np.log(np.exp(shifted).sum(axis=1)) - of_label


def most_wrong(predictions: Predictions, most: int) -> np.ndarray:
    """Return the rows of wrongly classified images, the largest loss first.

    Args:
        predictions: of the test split.
        most: rows.
    """
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    order = np.argsort(-losses(predictions)[wrong], kind="stable")
    return wrong[order][:most]
