"""Projected gradient descent, the attack of adversarial training."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust_transfer.attacks.surroundings import attacked, check_labels, check_sizes, prepared
from robust_transfer.attacks.threat import ThreatModel, threat_model

Loss = Callable[[Tensor], Tensor]  # from logits to the loss of each image


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    step_size: float,
    steps: int,
    random_start: bool = False,
    generator: torch.Generator | None = None,
    targets: Tensor | None = None,
    check: bool = True,
) -> Tensor:
    """Perturb each image to raise its own loss, staying within epsilon of it and in [0, 1].

    The gradient is that of the cross-entropy with respect to the images alone; the model is in
    eval mode meanwhile, and neither its weights' gradients, its buffers nor its mode change. It
    runs under the caller's autocast, while images and perturbations stay in float32 (float64).

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits; normalises inside.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64 class indices.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1] (8/255 is 8 grey levels).
        step_size: length of a step, same unit.
        steps: gradient evaluations an image.
        random_start: start at a point drawn uniformly from the ball, not at the image.
        generator: source of that randomness; None: torch's own.
        targets: (batch,) int64; lower the loss of these classes (a targeted attack) instead of
            raising that of `labels`.
        check: look at the values of images and labels, which waits for a GPU; off in a loop
            whose images are right by construction.

    Returns:
        Perturbed images: shape, memory format and range of `images`; float32 or float64.

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1 (targeted: Kurakin et al. 2017,
    arXiv:1611.01236); steps as in the library foolbox, to which tests compare it.
    """
    check_sizes(epsilon=epsilon, step_size=step_size, steps=steps)
    threat = threat_model(norm)
    sign = 1.0 if targets is None else -1.0
    images, aims = prepared(images, labels if targets is None else targets, check=check)

    def loss(logits: Tensor) -> Tensor:
        if check:
            check_labels(aims, logits, name="labels" if targets is None else "targets")
        return sign * F.cross_entropy(logits, aims, reduction="none")

    with attacked(model) as module:
        start = threat.start(images, epsilon, generator) if random_start else images
        return ascend(
            module, images, start, loss, threat, epsilon=epsilon, step_size=step_size, steps=steps
        )


def ascend(
    model: nn.Module,
    images: Tensor,
    start: Tensor,
    loss: Loss,
    threat: ThreatModel,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Take normalised gradient steps that raise a loss, each followed by projection and clip.

    Args:
        model: in eval mode; gradients are enabled.
        images: (batch, ...) the centres of the balls, without history.
        start: where the first step leaves from.
        loss: from logits to the (batch,) losses to raise.
        threat: the ball.
        epsilon: its radius.
        step_size: length of a step.
        steps: how many.

    Returns:
        Perturbed images.
    """
    perturbed = start
    for _ in range(steps):
        gradient = input_gradient(model, perturbed, loss)[0]
        moved = threat.direction(gradient).mul_(step_size).add_(perturbed)
        perturbed = threat.confine(images, moved, epsilon)
    return perturbed


def input_gradient(model: nn.Module, images: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate each image's loss by the image, and by nothing else.

    The losses are summed, not averaged: an image's gradient must not depend on its batch. No
    clamp lies between images and loss: its gradient at 0 and 1 is torch's choice (it changed in
    2.14), and pixels there must still be able to move inward.

    Args:
        model: in eval mode.
        images: (batch, ...).
        loss: from logits to (batch,) losses.

    Returns:
        The gradient (shape of `images`), the (batch,) losses and the logits, without history.
    """
    inputs = images.detach().requires_grad_(True)
    logits = model(inputs)
    if logits.dtype != torch.float64:
        logits = logits.float()  # in bfloat16 the loss of a confident image underflows
    losses = loss(logits)
    (gradient,) = torch.autograd.grad(losses.sum(), inputs)
    return gradient, losses.detach(), logits.detach()
