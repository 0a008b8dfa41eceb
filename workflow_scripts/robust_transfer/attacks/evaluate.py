"""Which images a model still gets right under an attack, over any number of images."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.attacks.pgd import pgd
from robust_transfer.attacks.surroundings import attacked, logits_without_graph


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
        batch_size: images at a time.
        restarts: runs of the attack, each on the images that stood the ones before; more than
            one makes sense with a random start.
        stand_in: what the attack is given in the model's place, such as its folded copy, which is
            quicker; whether an image is right is asked of the model itself.
        **arguments: of the attack (`norm`, `epsilon`, ...).

    Returns:
        (n,) bool: right on the clean image and after every run. Its mean is the accuracy under
        attack.
    """
    batches = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    target = model if stand_in is None else stand_in
    run = partial(attack, target, **arguments)
    right = [_right_in_all(model, as_floats(x), y, run, restarts) for x, y in batches]
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
        return logits_without_graph(module, images).argmax(1) == labels


def as_floats(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]; floats as they are."""
    return images if images.is_floating_point() else images.float() / 255
