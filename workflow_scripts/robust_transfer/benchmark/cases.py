"""What the benchmark of training measures: networks, image sizes and methods."""

from dataclasses import dataclass
from typing import Any

EPSILON = {32: 0.25, 224: 3.0}  # L2; it does not change the cost
METHODS = {"standard": 0, "pgd-3": 3, "pgd-7": 7, "n-fgsm": 1}  # steps of the attack
NETWORKS = (
    ("resnet_small", 32),
    ("resnet18", 32),
    ("resnet50", 224),
    ("resnet18", 224),
    ("wide_resnet50_2", 224),
)
CLASSES = {32: 10, 224: 1000}


@dataclass(frozen=True)
class Case:
    """One training step to be measured in every variant.

    Attributes:
        network: an architecture of `make_backbone`.
        image_size: pixels a side.
        method: a key of `METHODS`.
    """

    network: str
    image_size: int
    method: str

    @property
    def attack_steps(self) -> int:
        """Gradient steps of the attack."""
        return METHODS[self.method]

    @property
    def epsilon(self) -> float:
        """Size of the attack, L2; 0: there is none."""
        return EPSILON[self.image_size] if self.attack_steps else 0.0

    @property
    def forward_passes(self) -> int:
        """What the step needs at least, in forward passes of an image.

        A backward pass costs as much again for the gradient of the images or activations, and as
        much again for that of the weights, which an attack does not need: 2 a step of the attack,
        3 for the descent.
        """
        return 2 * self.attack_steps + 3

    def recipe(self, batch_size: int) -> dict[str, Any]:
        """Return a `pretrain.recipe`: the paper's, without augmentation."""
        return {
            "batch_size": batch_size,
            "learning_rate": 0.01,
            "schedule": "cosine",
            "warmup": 0.0,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "label_smoothing": 0.0,
            "weight_average": 0.0,
            "epsilon_warmup": 0.0,
            "method": "nfgsm" if self.method == "n-fgsm" else "pgd",
            "attack_steps": max(1, self.attack_steps),
            "relative_step_size": 2 / 3,
            "random_start": False,
            "trades_beta": 6.0,
            "nfgsm_noise": 2.0,
            "augmentation": "none",
            "compile": "auto",
        }


def all_cases() -> list[Case]:
    """Return every case, the ones that matter most first: a slow machine ends before the last."""
    order = ("pgd-3", "standard", "n-fgsm", "pgd-7")
    return [Case(network, size, method) for method in order for network, size in NETWORKS]
