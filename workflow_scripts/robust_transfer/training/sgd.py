"""Stochastic gradient descent with momentum, in four calls a step over all weights at once."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Sgd:
    """SGD as `torch.optim.SGD`, whose constructor alone loads a compiler for a second.

    A job of the demo trains for one or two seconds, so that second counts; and the momentum is a
    plain list here, which a training state names without detours.

    Args:
        parameters: what is trained.
        momentum: share of the last step that is taken again, in [0, 1).
        weight_decay: added to the gradient, times the weight (L2).

    Source: Sutskever et al. 2013, in the form of torch.optim.SGD without dampening: v = momentum *
    v + gradient + weight_decay * w; w = w - learning_rate * v.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, momentum: float, weight_decay: float
    ) -> None:
        self.parameters = [each for each in parameters if each.requires_grad]
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = [torch.zeros_like(each) for each in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every weight that has a gradient.

        Args:
            learning_rate: of this step.
        """
        moving = [
            (weight, velocity, weight.grad)
            for weight, velocity in zip(self.parameters, self.velocity, strict=True)
            if weight.grad is not None
        ]
        if not moving:
            return
        weights, velocity, gradients = (list(each) for each in zip(*moving, strict=True))
        decayed = torch._foreach_add(gradients, weights, alpha=self.weight_decay)
        torch._foreach_mul_(velocity, self.momentum)
        torch._foreach_add_(velocity, decayed)
        torch._foreach_add_(weights, velocity, alpha=-learning_rate)

    def state(self) -> dict[str, Tensor]:
        """Name the momentum of each weight: `momentum.<index>`."""
        return {f"momentum.{index}": value for index, value in enumerate(self.velocity)}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` named."""
        for name, value in self.state().items():
            value.copy_(tensors[name])
