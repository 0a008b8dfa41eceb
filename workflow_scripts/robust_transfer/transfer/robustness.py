"""Robustness after transfer: accuracy under attack of the transferred model."""

from typing import Any

from torch import Tensor, nn

from robust_transfer.attacks.folded import fold_batch_norm
from robust_transfer.attacks.standing import standing


def attack_transferred(
    model: nn.Module, images: Tensor, labels: Tensor, attack: dict[str, Any]
) -> list[dict[str, Any]]:
    """Attack test images of a transferred model.

    Args:
        model: maps images in [0, 1] to logits; normalises inside.
        images: (n, 3, size, size) uint8.
        labels: (n,) int64.
        attack: `transfer.robustness` of the config.

    Returns:
        For each epsilon: `attack`, `attack_norm`, `attack_epsilon`, `attack_steps`,
        `attacked_images` and `robust_accuracy`, the share of images right when clean and
        when attacked, in [0, 1].
    """
    found, fast = [], fold_batch_norm(model)
    for epsilon in sorted(attack["epsilons"]):
        right = standing(
            model, images, labels, attack, norm=attack["norm"], epsilon=epsilon, stand_in=fast
        )
        found.append(
            {
                "attack": attack["attack"],
                "attack_norm": attack["norm"],
                "attack_epsilon": epsilon,
                "attack_steps": attack["attack_steps"],
                "attacked_images": len(images),
                "robust_accuracy": float(right.double().mean()),
            }
        )
    return found
