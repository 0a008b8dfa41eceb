"""Which images a model still gets right under an attack, over any number of images."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.attacks.batches import by_batches
from robust_transfer.attacks.pgd import pgd
from robust_transfer.attacks.surroundings import attacked, check_labels, logits_without_graph


def accuracy_under_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attack: Callable[..., Tensor] = pgd,
    batch_size: int = 256,
    restarts: int = 1,
    stand_in: nn.Module | None = None,
    **arguments: Any,
) -> Tensor:
    """Attack each image and say whether the model still gets it right.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (n, ...) uint8, or floats in [0, 1]; on the model's device.
        labels: (n,) int64 class indices, same device.
        attack: called as `attack(model, images, labels, **arguments)`.
        batch_size: images at a time; fewer where a GPU's memory is too small.
        restarts: runs of the attack, each on the images that stood the ones before; more than
            one makes sense with a random start.
        stand_in: what the attack is given in the model's place, such as its folded copy, which is
            quicker; whether an image is right is asked of the model itself.
        **arguments: of the attack (`norm`, `epsilon`, ...).

    Raises:
        ValueError: a label that the model has no output for, or images outside [0, 1].

    Returns:
        (n,) bool: right on the clean image and after every run. Its mean is the accuracy under
        attack.
    """
    target = model if stand_in is None else stand_in
    run = partial(attack, target, **arguments)

    def ask(rows: slice) -> Tensor:
        return _right_in_all(model, as_floats(images[rows]), labels[rows], run, restarts)

    right = by_batches(ask, len(images), batch_size)
    return torch.cat(right) if right else torch.zeros(0, dtype=torch.bool)


def _right_in_all(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: Callable[[Tensor, Tensor], Tensor],
    restarts: int,
) -> Tensor:
    right = correct(model, images, labels)
    for _ in range(restarts):
        rows = right.nonzero().squeeze(1)
        if len(rows):
            perturbed = attack(images[rows], labels[rows])
            right[rows] = correct(model, perturbed, labels[rows])
    return right


def correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Say which images the model gets right, in eval mode.

    Args:
        model: maps images to logits.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64.

    Returns:
        (batch,) bool.
    """
    with attacked(model) as module:
        logits = logits_without_graph(module, images)
    check_labels(labels, logits)
    return logits.argmax(1) == labels


def as_floats(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]; floats as they are."""
    return images if images.is_floating_point() else images.float() / 255
