"""Multinomial logistic regression with L2 penalty: many penalties at once, by full-batch L-BFGS."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BYTES = 8  # of a float64
CHUNK_BYTES = 2**30  # of the arithmetic of one chunk of images
LIBRARY_BYTES = 2**25  # that the linear algebra takes for itself, about: packed blocks, threads
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
        return _with_ones(features) @ self.weight


def fit_probes(
    features: Tensor,
    labels: Tensor,
    *,
    classes: int,
    penalties: Tensor,
    relative_gap: float = 1e-7,
    max_iterations: int = 2000,
    start: Tensor | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Probes:
    """Minimise mean cross-entropy + penalty / 2 * |W|^2 for each penalty.

    The bias is not penalised. scikit-learn's `C` is 1 / (n * penalty).

    Args:
        features: (n, features); the arithmetic is in float64.
        labels: (n,) int64, below `classes`.
        classes: number of classes, at least 2.
        penalties: (penalties,) float64, above 0.
        relative_gap: a problem counts as solved when its loss is within this share of the least
            one, by the bound of Boyd & Vandenberghe 2004, equation 9.9: a function with curvature
            of at least m lies at most |gradient|^2 / (2 m) above its minimum. For the weights m
            is the penalty; for the bias, which has none, the curvature that is there (its least
            over classes; the tests hold the whole against scikit-learn).
        max_iterations: at which the search ends in any case.
        start: (penalties, features + 1, classes) to start from, such as `weight` of a fit to some
            of the same images; None: zero.
        chunk_bytes: images are worked on in chunks whose arithmetic takes at most so much (and at
            least one image at a time); `probe_bytes` says what is needed in all.

    Raises:
        ValueError: features are not finite, or a penalty is not above 0.

    Source: Liu & Nocedal 1989, Mathematical Programming 45, algorithm 2.1.
    """
    _check(features, penalties)
    penalties = penalties.to(features.device, torch.float64)
    problem = _Problem(features, labels, classes, penalties, chunk_bytes)
    theta = penalties.new_zeros(len(penalties), problem.width * classes)
    if start is not None:
        theta += start.to(theta).reshape(theta.shape)
    theta, loss, gradient, iterations = _search(problem, theta, relative_gap, max_iterations)
    weight = theta.view(len(penalties), problem.width, classes)
    return Probes(weight, loss, gradient.norm(dim=1), iterations)


def _search(
    problem: "_Problem", theta: Tensor, relative_gap: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Descend until every problem is solved; return theta, losses, gradients and steps taken."""
    loss, gradient = problem(theta)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    iteration = 0
    while iteration < max_iterations:
        gap = problem.gap(gradient)
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
    return theta, loss, gradient, iteration


def _check(features: Tensor, penalties: Tensor) -> None:
    """Raise ValueError for what no fit could end with."""
    if not all(math.isfinite(end) for end in features.aminmax()):  # NaN is the least of all
        raise ValueError("features are not finite: the backbone's outputs overflow.")
    if not bool((penalties > 0).all()):
        raise ValueError(f"penalties {penalties.tolist()}: expected numbers above 0.")


def _with_ones(features: Tensor) -> Tensor:
    """Return (n, features) as (n, features + 1) float64, in one piece: there is one copy."""
    n, width = features.shape
    ones = features.new_ones(n, width + 1, dtype=torch.float64)
    ones[:, :-1] = features
    return ones


def _row_bytes(width: int, columns: int) -> int:
    """Return what the arithmetic of one image takes: itself, and four arrays of its logits."""
    return BYTES * (width + 4 * columns)


def probe_bytes(
    n: int, features: int, classes: int, penalties: int, chunk_bytes: int = CHUNK_BYTES
) -> int:
    """Return the memory that a fit takes, beside the features that it is given.

    Args:
        n: images.
        features: width of the features.
        classes: number of classes.
        penalties: probes fitted at once.
        chunk_bytes: as in `fit_probes`.
    """
    width, columns = features + 1, classes * penalties
    chunk = min(n * _row_bytes(width, columns), max(chunk_bytes, _row_bytes(width, columns)))
    search = (2 * MEMORY + 10) * width * columns  # steps, changes, and what is at hand
    curvature = 5 * width**2  # itself, its axes, and what finding them takes
    return chunk + BYTES * (search + curvature) + LIBRARY_BYTES


class _Problem:
    """Loss and gradient of every probe, from one matrix product each way a chunk of images."""

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, penalties: Tensor, chunk_bytes: int
    ) -> None:
        self.n, self.width = len(features), features.shape[1] + 1
        self.classes, self.penalties = classes, penalties
        rows = max(1, chunk_bytes // _row_bytes(self.width, classes * len(penalties)))
        self.parts = list(zip(features.split(rows), labels.split(rows), strict=True))
        self.chunk = _with_ones(features[:rows])  # converted once if it is the only one
        # Of one chunk, made once: as much again and again leaves holes that nothing else fits in.
        self.logits = penalties.new_empty(len(self.chunk), len(penalties) * classes)
        self.exponentials = torch.empty_like(self.logits)
        # The curvature at equal probabilities, (1 - 1/C) / C times that of the features, plus
        # the penalty: correlated features make it uneven, and L-BFGS slow, unless divided out.
        moment = penalties.new_zeros(self.width, self.width)
        for x, _ in self._chunks():
            moment += x.T @ x
        spread, self.axes = torch.linalg.eigh(moment.div_(self.n))
        scale = (1 - 1 / classes) / classes
        self.bias_curvature = penalties
        self.curvature = (scale * spread.clamp_min(0) + self.penalties.view(-1, 1)).unsqueeze(2)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, width) float64 features, a column of ones last, and labels.

        All chunks take turns in the same memory.
        """
        for x, labels in self.parts:
            chunk = self.chunk[: len(x)]
            if len(self.parts) > 1:
                chunk[:, :-1] = x
            yield chunk, labels

    def soften(self, vector: Tensor) -> Tensor:
        """Divide (penalties, parameters) by the curvature at equal probabilities."""
        inside = self.axes.T @ vector.view(len(vector), -1, self.classes)
        return (self.axes @ (inside / self.curvature)).reshape(len(vector), -1)

    def gap(self, gradient: Tensor) -> Tensor:
        """Bound how far each loss is above its least, where it was evaluated last."""
        squares = gradient.view(len(gradient), self.width, self.classes).square()
        weights, bias = squares[:, :-1].sum((1, 2)), squares[:, -1].sum(1)
        free = torch.minimum(self.bias_curvature, self.penalties).clamp_min(1e-12)
        return weights / (2 * self.penalties) + bias / (2 * free)

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map (penalties, parameters) to losses (penalties,) and gradients of theta's shape."""
        b = len(theta)
        weight = theta.view(b, self.width, self.classes)
        flat = weight.permute(1, 0, 2).reshape(self.width, b * self.classes)
        penalised = weight.clone()
        penalised[:, -1] = 0  # the bias is free
        loss = 0.5 * self.penalties * penalised.square().sum((1, 2))
        gradient = torch.zeros_like(flat)
        curvature = torch.zeros_like(penalised[:, -1])
        for x, labels in self._chunks():
            true = labels.view(-1, 1, 1).expand(-1, b, 1)
            logits = torch.mm(x, flat, out=self.logits[: len(x)]).view(len(x), b, self.classes)
            logits -= logits.amax(2, keepdim=True)
            exponentials = torch.exp(logits, out=self.exponentials[: len(x)].view_as(logits))
            total = exponentials.sum(2, keepdim=True)
            loss -= (logits.gather(2, true) - total.log()).sum((0, 2)) / self.n
            residual = exponentials.div_(total)  # the probabilities, less 1 at the true class
            curvature += residual.sum(0) - torch.linalg.vector_norm(residual, dim=0).square()
            residual.scatter_add_(2, true, residual.new_full(true.shape, -1.0))
            gradient += x.T @ residual.view(len(x), -1)
        self.bias_curvature = curvature.amin(1) / self.n
        gradient = (gradient / self.n).view(self.width, b, self.classes).permute(1, 0, 2)
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
