"""Small nets and images that the tests of the attacks share."""

import pytest
import torch
from robust_transfer.attacks import pgd
from torch import Tensor, nn

NORMS = ["l2", "linf"]
both_norms = pytest.mark.parametrize("norm", NORMS)


def small_net(classes: int = 5, seed: int = 0) -> nn.Sequential:
    """A convolutional net with BatchNorm and dropout whose statistics are not the initial ones."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(8 * 6 * 6, classes),
    )
    for _ in range(3):
        net(torch.rand(16, 3, 8, 8))
    return net


def some_images(count: int = 6, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images a third of whose pixels are black or white."""
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return ((noise - 0.5) * 1.5 + 0.5).clamp(0, 1)


def some_labels(count: int = 6, classes: int = 5) -> Tensor:
    return torch.arange(count) % classes


def attack(model: nn.Module, images: Tensor, norm: str = "l2", **changes: object) -> Tensor:
    arguments = {"norm": norm, "epsilon": 0.3, "step_size": 0.1, "steps": 4} | changes
    labels = arguments.pop("labels", some_labels(len(images)))
    return pgd(model, images, labels, **arguments)


def sizes(perturbation: Tensor, norm: str) -> Tensor:
    flat = perturbation.flatten(1).double()
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(1)
