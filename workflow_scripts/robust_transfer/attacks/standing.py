"""The attacks that a study can be judged by, by name."""

from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.attacks.apgd import evaluate_ensemble
from robust_transfer.attacks.evaluate import accuracy_under_attack


def standing(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: dict[str, Any],
    *,
    norm: str,
    epsilon: float,
    stand_in: nn.Module | None = None,
) -> Tensor:
    """Say which images a model gets right, clean and attacked.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (n, ...) uint8, or floats in [0, 1]; on the model's device.
        labels: (n,) int64 class indices, same device.
        attack: `attack` (`pgd`, or `apgd`: APGD-CE, then APGD-T on the images that still stand),
            `attack_steps`, and for `pgd` `relative_step_size`.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1].
        stand_in: what PGD is given in the model's place, such as its folded copy. APGD chooses its
            targets and step sizes by what it sees, and is given the model itself.

    Returns:
        (n,) bool: the worst case of each image. Its mean is the accuracy under attack.
    """
    steps = attack["attack_steps"]
    if attack["attack"] == "apgd":
        if not len(images):
            return torch.zeros(0, dtype=torch.bool)
        found = evaluate_ensemble(model, images, labels, norm=norm, epsilon=epsilon, steps=steps)
        return found.robust
    return accuracy_under_attack(
        model,
        images,
        labels,
        stand_in=stand_in,
        norm=norm,
        epsilon=epsilon,
        step_size=attack["relative_step_size"] * epsilon,
        steps=steps,
    )
