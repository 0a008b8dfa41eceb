"""Multinomial logistic regression with L2 penalty: many penalties at once, by full-batch L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MEMORY = 12  # pairs of steps and gradient changes that approximate the curvature
SUFFICIENT_DECREASE = 1e-4  # of the line search (Nocedal & Wright 2006, section 3.1)


@dataclass(frozen=True)
class Probes:
    """Linear classifiers, one a penalty.

    Attributes:
        weight: (penalties, features + 1, classes); the last row is the bias.
        loss: (penalties,) mean cross-entropy plus penalty term, at the end.
        gradient_norm: (penalties,) Euclidean norm of the gradient, at the end.
        iterations: of L-BFGS.
    """

    weight: Tensor
    loss: Tensor
    gradient_norm: Tensor
    iterations: int

    def logits(self, features: Tensor) -> Tensor:
        """Map (n, features) to (penalties, n, classes)."""
        return _with_ones(features.to(self.weight.dtype)) @ self.weight


def fit_probes(
    features: Tensor,
    labels: Tensor,
    *,
    classes: int,
    penalties: Tensor,
    relative_gap: float = 1e-7,
    max_iterations: int = 2000,
) -> Probes:
    """Minimise mean cross-entropy + penalty / 2 * |W|^2 for each penalty.

    The bias is not penalised. scikit-learn's `C` is 1 / (n * penalty).

    Args:
        features: (n, features); the arithmetic is in float64.
        labels: (n,) int64, below `classes`.
        classes: number of classes, at least 2.
        penalties: (penalties,) above 0.
        relative_gap: a problem counts as solved when its loss is proven to be within this share
            of the least one: a function with curvature of at least the penalty lies at most
            |gradient|^2 / (2 * penalty) above its minimum (Boyd & Vandenberghe 2004, equation
            9.9; the unpenalised bias is the small print, which the tests cover).
        max_iterations: at which the search ends in any case.

    Raises:
        ValueError: features are not finite, or a penalty is not above 0.

    Source: Liu & Nocedal 1989, Mathematical Programming 45, algorithm 2.1.
    """
    if not bool(torch.isfinite(features).all()):
        raise ValueError("features are not finite: the backbone's outputs overflow.")
    if not bool((penalties > 0).all()):
        raise ValueError(f"penalties {penalties.tolist()}: expected numbers above 0.")
    x = _with_ones(features.double())
    problem = _Problem(x, labels, classes, penalties.to(x))
    theta = x.new_zeros(len(penalties), x.shape[1] * classes)
    loss, gradient = problem(theta)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    iteration = 0
    while iteration < max_iterations:
        gap = gradient.square().sum(1) / (2 * problem.penalties)
        solved = (gap <= relative_gap * loss).unsqueeze(1)
        if bool(solved.all()):
            break
        # A solved problem rests: at the limit of precision it would hold up the line search.
        direction = torch.where(solved, 0, -_two_loop(gradient, steps, changes, problem.soften))
        new, new_loss, new_gradient, moved = _line_search(problem, theta, loss, gradient, direction)
        if not moved:
            break  # the loss cannot be lowered any further in this precision
        steps.append(new - theta)
        changes.append(new_gradient - gradient)
        steps, changes = steps[-MEMORY:], changes[-MEMORY:]
        theta, loss, gradient = new, new_loss, new_gradient
        iteration += 1
    weight = theta.view(len(penalties), x.shape[1], classes)
    return Probes(weight, loss, gradient.norm(dim=1), iteration)


def _with_ones(features: Tensor) -> Tensor:
    return F.pad(features, (0, 1), value=1.0)


class _Problem:
    """Loss and gradient of every probe, from one matrix product each way."""

    def __init__(self, x: Tensor, labels: Tensor, classes: int, penalties: Tensor) -> None:
        self.x, self.classes, self.penalties = x, classes, penalties
        self.true = labels.view(-1, 1, 1).expand(-1, len(penalties), 1)
        # The curvature at equal probabilities, (1 - 1/C) / C times that of the features, plus
        # the penalty: correlated features make it uneven, and L-BFGS slow, unless divided out.
        spread, self.axes = torch.linalg.eigh(x.T @ x / len(x))
        scale = (1 - 1 / classes) / classes
        self.curvature = (scale * spread.clamp_min(0) + self.penalties.view(-1, 1)).unsqueeze(2)

    def soften(self, vector: Tensor) -> Tensor:
        """Divide (penalties, parameters) by the curvature at equal probabilities."""
        inside = self.axes.T @ vector.view(len(vector), -1, self.classes)
        return (self.axes @ (inside / self.curvature)).reshape(len(vector), -1)

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map (penalties, parameters) to losses (penalties,) and gradients of theta's shape."""
        n, width = self.x.shape
        b = len(theta)
        weight = theta.view(b, width, self.classes)
        flat = weight.permute(1, 0, 2).reshape(width, b * self.classes)
        logits = (self.x @ flat).view(n, b, self.classes)
        logits -= logits.amax(2, keepdim=True)
        exponentials = logits.exp()
        total = exponentials.sum(2, keepdim=True)
        log_likelihood = logits.gather(2, self.true) - total.log()
        penalised = weight.clone()
        penalised[:, -1] = 0  # the bias is free
        loss = -log_likelihood.sum((0, 2)) / n
        loss = loss + 0.5 * self.penalties * penalised.square().sum((1, 2))
        residual = exponentials.div_(total)  # the probabilities, less 1 at the true class
        residual.scatter_add_(2, self.true, residual.new_full(self.true.shape, -1.0))
        gradient = (
            (self.x.T @ residual.view(n, -1) / n).view(width, b, self.classes).permute(1, 0, 2)
        )
        gradient = gradient + self.penalties.view(-1, 1, 1) * penalised
        return loss, gradient.reshape(b, -1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


def _two_loop(
    gradient: Tensor,
    steps: list[Tensor],
    changes: list[Tensor],
    soften: Callable[[Tensor], Tensor],
) -> Tensor:
    """Apply the inverse curvature that the last steps showed, problem by problem."""
    tiny = torch.finfo(gradient.dtype).tiny
    direction = gradient.clone()
    kept = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        curvature = _dot(s, y)
        rho = torch.where(curvature > tiny, 1 / curvature.clamp_min(tiny), 0)  # 0: pair unused
        alpha = rho * _dot(s, direction)
        direction -= alpha * y
        kept.append((rho, alpha, s, y))
    direction = soften(direction)
    if steps:
        curvature, size = _dot(steps[-1], changes[-1]), _dot(changes[-1], soften(changes[-1]))
        direction *= torch.where((curvature > tiny) & (size > tiny), curvature / size, 1.0)
    for rho, alpha, s, y in reversed(kept):
        direction += s * (alpha - rho * _dot(y, direction))
    return direction


def _line_search(
    problem: _Problem, theta: Tensor, loss: Tensor, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Halve each problem's step until its loss falls enough; one that cannot move stays."""
    slope = _dot(gradient, direction)
    direction = torch.where(slope > 0, -gradient, direction)
    slope = _dot(gradient, direction)
    step = torch.ones_like(slope)
    for _ in range(30):
        new = theta + step * direction
        new_loss, new_gradient = problem(new)
        enough = new_loss.unsqueeze(1) <= loss.unsqueeze(1) + SUFFICIENT_DECREASE * step * slope
        if bool(enough.all()):
            return new, new_loss, new_gradient, True
        step = torch.where(enough, step, step / 2)
    step = torch.where(enough, step, 0)
    new = theta + step * direction
    new_loss, new_gradient = problem(new)
    return new, new_loss, new_gradient, bool(enough.any())
