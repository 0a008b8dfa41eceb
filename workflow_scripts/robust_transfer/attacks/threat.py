"""Threat models: which perturbations an attack may make, as three small operations a norm.

Perturbations are measured in pixel units of images in [0, 1]. Nothing here differentiates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust_transfer.errors import did_you_mean

SMALLEST_NORM = 1e-12  # below it a vector counts as 0: no division by it (foolbox uses the same)


@dataclass(frozen=True)
class ThreatModel:
    """The ball of a norm around each image of a batch.

    Attributes:
        norm: its name in the config.
        random_start: from (perturbation to imitate in shape, epsilon, generator) to a
            perturbation drawn uniformly from the ball.
        direction: from a gradient to the unit step that raises a linear loss most, a new tensor.
        project: from (perturbation, epsilon) to the nearest perturbation in the ball, likewise.
    """

    norm: str
    random_start: Callable[[Tensor, float, torch.Generator | None], Tensor]
    direction: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, float], Tensor]

    def confine(self, images: Tensor, moved: Tensor, epsilon: float) -> Tensor:
        """Bring moved images back into the ball, then into [0, 1].

        In this order both hold at the end: clipping to [0, 1], where the image lies itself, can
        only shorten a perturbation. (Libraries that clip first may end outside [0, 1].)

        Args:
            images: the centres of the balls.
            moved: where a step led.
            epsilon: radius.

        Returns:
            Images in the ball and in [0, 1].
        """
        return self.project(moved - images, epsilon).add_(images).clamp_(0, 1)

    def start(self, images: Tensor, epsilon: float, generator: torch.Generator | None) -> Tensor:
        """Return images moved to a random place of the ball, then clipped to [0, 1].

        Args:
            images: the centres of the balls.
            epsilon: radius.
            generator: source of the randomness, on the images' device or on the CPU.

        Returns:
            Images in the ball and in [0, 1]; uniform in the ball before the clip.
        """
        return (images + self.random_start(images, epsilon, generator)).clamp(0, 1)


def threat_model(norm: str) -> ThreatModel:
    """Return the threat model of a norm.

    Args:
        norm: `l2` (Euclidean length over all pixels and channels) or `linf` (largest change of
            a pixel's channel).

    Returns:
        Its operations.

    Raises:
        ValueError: there is no such norm.
    """
    if norm not in THREAT_MODELS:
        raise ValueError(
            f"norm: unknown value {norm!r}. Choose one of {', '.join(THREAT_MODELS)}."
            + did_you_mean(norm, THREAT_MODELS)
        )
    return THREAT_MODELS[norm]


def lengths(vectors: Tensor) -> Tensor:
    """Return the Euclidean length of each item of a batch, shaped to multiply the batch.

    Args:
        vectors: (batch, ...).

    Returns:
        (batch, 1, ...), same number of dimensions.
    """
    return torch.linalg.vector_norm(vectors, dim=tuple(range(1, vectors.ndim)), keepdim=True)


def _l2_start(like: Tensor, epsilon: float, generator: torch.Generator | None) -> Tensor:
    """Draw uniformly from the L2 ball: a uniform direction, and a radius of U^(1/n).

    Not from the sphere (as the library `robustness`) nor with a uniform radius (torchattacks).
    """
    device = like.device if generator is None else generator.device
    noise = torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype)
    shape = (len(like),) + (1,) * (like.ndim - 1)
    uniform = torch.rand(shape, generator=generator, device=device, dtype=like.dtype)
    radius = epsilon * uniform ** (1 / max(1, like[0].numel()))
    return (_l2_direction(noise) * radius).to(like.device)


def _l2_direction(gradient: Tensor) -> Tensor:
    return gradient / lengths(gradient).clamp_min(SMALLEST_NORM)


def _l2_project(perturbation: Tensor, epsilon: float) -> Tensor:
    length = lengths(perturbation).clamp_min(SMALLEST_NORM)
    return perturbation * (epsilon / length).clamp_max(1)


def _linf_start(like: Tensor, epsilon: float, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    uniform = torch.rand(like.shape, generator=generator, device=device, dtype=like.dtype)
    return ((2 * uniform - 1) * epsilon).to(like.device)


def _linf_project(perturbation: Tensor, epsilon: float) -> Tensor:
    return perturbation.clamp(-epsilon, epsilon)


THREAT_MODELS = {
    "l2": ThreatModel("l2", _l2_start, _l2_direction, _l2_project),
    "linf": ThreatModel("linf", _linf_start, torch.sign, _linf_project),
}
