"""The inner maximisation of TRADES: move the prediction away from that of the clean image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust_transfer.attacks.pgd import Loss, ascend
from robust_transfer.attacks.surroundings import (
    attacked,
    check_sizes,
    logits_without_graph,
    prepared,
)
from robust_transfer.attacks.threat import threat_model


def trades_inner(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    step_size: float,
    steps: int,
    start_noise: float = 0.001,
    generator: torch.Generator | None = None,
    check: bool = True,
) -> Tensor:
    """Raise KL(prediction of the clean image || prediction of the perturbed one).

    The clean prediction is computed once, without a graph (the published code recomputes it in
    each step). The divergence has no gradient at the image itself, so the first step leaves from
    a point with a little normal noise; that start is projected to the ball too.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64; not used, since TRADES attacks the prediction: there so that
            every attack is called in the same way.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1].
        step_size: length of a step, same unit (the paper: 2/255 for linf).
        steps: gradient evaluations an image (the paper: 10).
        start_noise: standard deviation of the start's noise, same unit.
        generator: source of the noise, on the images' device or on the CPU.
        check: look at the values of images and labels, which waits for a GPU.

    Returns:
        Perturbed images, within epsilon and in [0, 1].

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: Zhang et al. 2019, arXiv:1901.08573, equation 5 and algorithm 1.
    """
    check_sizes(epsilon=epsilon, step_size=step_size, steps=steps, start_noise=start_noise)
    threat = threat_model(norm)
    images, _ = prepared(images, labels, check=check)
    device = images.device if generator is None else generator.device
    with attacked(model) as module:
        loss = _divergence_from(logits_without_graph(module, images))
        noise = torch.randn(images.shape, generator=generator, device=device, dtype=images.dtype)
        start = threat.confine(images, images + start_noise * noise.to(images.device), epsilon)
        return ascend(
            module, images, start, loss, threat, epsilon=epsilon, step_size=step_size, steps=steps
        )


def _divergence_from(clean_logits: Tensor) -> Loss:
    clean = F.log_softmax(clean_logits, dim=1)

    def divergence(logits: Tensor) -> Tensor:
        perturbed = F.log_softmax(logits, dim=1)
        return F.kl_div(perturbed, clean, log_target=True, reduction="none").sum(1)

    return divergence
