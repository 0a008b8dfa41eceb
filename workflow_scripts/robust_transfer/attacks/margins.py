"""Losses that an evaluation raises, one value an image; above 0 means fooled where said so."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from robust_transfer.errors import did_you_mean

CLASSES_OF_DLR = 4  # its denominator takes the first, third and fourth largest logit

TargetedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # logits, labels, targets


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of the label in nats; `targets` play no part.

    Args:
        logits: (batch, classes).
        labels: (batch,) int64.
        targets: (batch,) int64, not used.

    Returns:
        (batch,) losses.
    """
    return F.cross_entropy(logits, labels, reduction="none")


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the targeted difference of logits ratio; with fewer than 4 classes, the margin.

    (z_target - z_label) / (z_1 - (z_3 + z_4) / 2), z_i the i-th largest logit: neither the scale
    nor the shift of the logits changes it, so that a confident model does not mask its gradient.
    With 2 or 3 classes z_4 does not exist: the loss is then z_target - z_label, whose direction a
    normalised step keeps whatever its scale. Both are positive only on misclassified images.

    Args:
        logits: (batch, classes).
        labels: (batch,) int64.
        targets: (batch,) int64, not the labels.

    Returns:
        (batch,) losses.

    Source: Croce and Hein 2020, arXiv:2003.01690, equation 7; the margin is that of Carlini and
    Wagner 2017, arXiv:1608.04644.
    """
    margin = _of(logits, targets) - _of(logits, labels)
    if logits.shape[1] < CLASSES_OF_DLR:
        return margin
    largest = logits.topk(CLASSES_OF_DLR, dim=1).values
    spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2
    return margin / (spread + 1e-12)


LOSSES: dict[str, TargetedLoss] = {"ce": cross_entropy, "dlr-targeted": targeted_dlr}


def loss_of(name: str) -> TargetedLoss:
    """Return a loss by its name.

    Args:
        name: `ce` or `dlr-targeted`.

    Returns:
        From logits, labels and targets to (batch,) losses.

    Raises:
        ValueError: there is no such loss.
    """
    if name not in LOSSES:
        raise ValueError(
            f"loss: unknown value {name!r}. Choose one of {', '.join(LOSSES)}."
            + did_you_mean(name, LOSSES)
        )
    return LOSSES[name]


def likeliest_wrong(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the wrong classes that the model finds likeliest.

    Args:
        logits: (batch, classes), of the clean images.
        labels: (batch,) int64.
        count: how many; at most classes - 1 are returned.

    Returns:
        (batch, min(count, classes - 1)) int64, the likeliest first.
    """
    others = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes.unsqueeze(1)).squeeze(1)
