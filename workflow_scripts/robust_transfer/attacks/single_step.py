"""Attacks of one gradient step, for cheap adversarial training."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust_transfer.attacks.pgd import input_gradient, pgd
from robust_transfer.attacks.surroundings import attacked, check_labels, check_sizes, prepared
from robust_transfer.attacks.threat import threat_model


def fgsm_rs(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    relative_step_size: float = 1.25,
    generator: torch.Generator | None = None,
    check: bool = True,
) -> Tensor:
    """Take one step of 1.25 epsilon from a random point of the ball ("fast" training).

    That is PGD of one step with a random start. The paper treats linf; for l2 the start is
    uniform in the L2 ball and the step has length 1.25 epsilon. Beyond 8/255 it is known to
    overfit catastrophically: watch the accuracy under PGD, or use `n_fgsm`.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64 class indices.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1].
        relative_step_size: length of the step, as a multiple of epsilon.
        generator: source of the randomness.
        check: look at the values of images and labels, which waits for a GPU.

    Returns:
        Perturbed images, within epsilon and in [0, 1].

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: Wong, Rice and Kolter 2020, arXiv:2001.03994, algorithm 3.
    """
    return pgd(
        model,
        images,
        labels,
        norm=norm,
        epsilon=epsilon,
        step_size=relative_step_size * epsilon,
        steps=1,
        random_start=True,
        generator=generator,
        check=check,
    )


def n_fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    relative_noise: float = 2.0,
    relative_step_size: float = 1.0,
    generator: torch.Generator | None = None,
    check: bool = True,
) -> Tensor:
    """Add strong noise, then one step of epsilon, and do not return to the ball.

    The noise is uniform in [-2 epsilon, 2 epsilon] for each pixel (k = 2 in the paper); noise
    and result are clipped to [0, 1] alone. The paper treats linf; for l2 the noise is uniform in
    the L2 ball of 2 epsilon and the step has length epsilon, which is our extension.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64 class indices.
        norm: `l2` or `linf`.
        epsilon: radius trained for, in pixel units of images in [0, 1].
        relative_noise: radius of the noise, as a multiple of epsilon.
        relative_step_size: length of the step, as a multiple of epsilon.
        generator: source of the randomness.
        check: look at the values of images and labels, which waits for a GPU.

    Returns:
        Perturbed images in [0, 1], within (relative_noise + relative_step_size) * epsilon.

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: de Jorge et al. 2022, arXiv:2202.01181, algorithm 1.
    """
    check_sizes(
        epsilon=epsilon, relative_noise=relative_noise, relative_step_size=relative_step_size
    )
    threat = threat_model(norm)
    images, labels = prepared(images, labels, check=check)

    def loss(logits: Tensor) -> Tensor:
        if check:
            check_labels(labels, logits)
        return F.cross_entropy(logits, labels, reduction="none")

    with attacked(model) as module:
        noisy = threat.start(images, relative_noise * epsilon, generator)
        gradient, _, _ = input_gradient(module, noisy, loss)
        return (noisy + relative_step_size * epsilon * threat.direction(gradient)).clamp(0, 1)
