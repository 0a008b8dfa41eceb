"""Multinomial logistic regression with L2 penalty: many penalties at once, by full-batch L-BFGS."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robust_transfer.transfer.lbfgs import MEMORY, minimise

BYTES = 8  # of a float64
MOST_ITERATIONS = 2000  # of one search; penalties of 1e-6 take some 1,000
CHUNK_BYTES = 2**30  # of the arithmetic of one chunk of images
LIBRARY_BYTES = 2**25  # that the linear algebra takes for itself, about: packed blocks, threads


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
        return features.double() @ self.weight[:, :-1] + self.weight[:, -1:]


def fit_probes(
    features: Tensor,
    labels: Tensor,
    *,
    classes: int,
    penalties: Tensor,
    relative_gap: float = 1e-7,
    max_iterations: int = MOST_ITERATIONS,
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
    """
    _check(features, penalties)
    penalties = penalties.to(features.device, torch.float64)
    problem = _Problem(features, labels, classes, penalties, chunk_bytes)
    theta = penalties.new_zeros(len(penalties), problem.width * classes)
    if start is not None:
        theta += start.to(theta).mT.reshape(theta.shape)
    found = minimise(problem, theta, relative_gap=relative_gap, max_iterations=max_iterations)
    weight = found.theta.view(len(penalties), classes, problem.width).mT
    return Probes(weight, found.loss, found.gradient.norm(dim=1), found.iterations)


def _check(features: Tensor, penalties: Tensor) -> None:
    """Raise ValueError for what no fit could end with."""
    if not all(math.isfinite(end) for end in features.aminmax()):  # NaN is the least of all
        raise ValueError("features are not finite: the backbone's outputs overflow.")
    if not bool((penalties > 0).all()):
        raise ValueError(f"penalties {penalties.tolist()}: expected numbers above 0.")


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
    """Loss and gradient of every probe, from one matrix product each way a chunk of images.

    Parameters are (penalties, classes, width), and images lie in columns: products of such
    matrices, and sums over classes, are twice as quick as those of images in rows.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, penalties: Tensor, chunk_bytes: int
    ) -> None:
        self.n, self.width = len(features), features.shape[1] + 1
        self.classes, self.penalties = classes, penalties
        self.columns = len(penalties) * classes
        rows = max(1, chunk_bytes // _row_bytes(self.width, self.columns))
        self.parts = list(zip(features.split(rows), labels.split(rows), strict=True))
        # Of one chunk, made once: as much again and again leaves holes that nothing else fits in.
        most = len(self.parts[0][0])
        self.chunk, self.logits, self.exponentials = (
            penalties.new_empty(count * most) for count in (self.width, self.columns, self.columns)
        )
        self.filled = False
        # The curvature at equal probabilities, (1 - 1/C) / C times that of the features, plus
        # the penalty: correlated features make it uneven, and L-BFGS slow, unless divided out.
        moment = penalties.new_zeros(self.width, self.width)
        for x, _ in self._chunks():
            moment += x @ x.T
        spread, self.axes = torch.linalg.eigh(moment.div_(self.n))
        scale = (1 - 1 / classes) / classes
        self.bias_curvature = penalties
        self.curvature = (scale * spread.clamp_min(0) + self.penalties.view(-1, 1)).unsqueeze(1)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (width, images) float64 features, a row of ones last, and labels.

        All chunks take turns in the same memory; the only one is converted once.
        """
        for x, labels in self.parts:
            chunk = _piece(self.chunk, self.width, len(x))
            if not self.filled:
                chunk[:-1], chunk[-1] = x.T, 1
                self.filled = len(self.parts) == 1
            yield chunk, labels

    def soften(self, vector: Tensor) -> Tensor:
        """Divide (penalties, parameters) by the curvature at equal probabilities."""
        inside = vector.view(len(vector), self.classes, -1) @ self.axes
        return inside.div_(self.curvature).matmul(self.axes.T).reshape(len(vector), -1)

    def gap(self, gradient: Tensor) -> Tensor:
        """Bound how far each loss is above its least, where it was evaluated last."""
        squares = gradient.view(len(gradient), self.classes, self.width).square()
        weights, bias = squares[..., :-1].sum((1, 2)), squares[..., -1].sum(1)
        free = torch.minimum(self.bias_curvature, self.penalties).clamp_min(1e-12)
        return weights / (2 * self.penalties) + bias / (2 * free)

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map (penalties, parameters) to losses (penalties,) and gradients of theta's shape."""
        shape = (len(theta), self.classes, -1)
        flat = theta.view(self.columns, self.width)
        penalised = theta.view(shape).clone()
        penalised[..., -1] = 0  # the bias is free
        loss = 0.5 * self.penalties * penalised.square().sum((1, 2))
        gradient = torch.zeros_like(flat)
        curvature = torch.zeros_like(penalised[..., -1])
        for x, labels in self._chunks():
            true = labels.expand(len(theta), 1, -1)
            logits = torch.mm(flat, x, out=_piece(self.logits, self.columns, len(labels)))
            logits = logits.view(shape)
            logits -= logits.amax(1, keepdim=True)
            exponentials = _piece(self.exponentials, self.columns, len(labels)).view(shape)
            total = torch.exp(logits, out=exponentials).sum(1, keepdim=True)
            loss -= (logits.gather(1, true) - total.log()).sum((1, 2)) / self.n
            residual = exponentials.div_(total)  # the probabilities, less 1 at the true class
            curvature += residual.sum(2) - torch.mul(residual, residual, out=logits).sum(2)
            residual.scatter_add_(1, true, residual.new_full(true.shape, -1.0))
            gradient += residual.view(self.columns, -1) @ x.T
        self.bias_curvature = curvature.amin(1) / self.n
        gradient = (gradient / self.n).view(shape) + self.penalties.view(-1, 1, 1) * penalised
        return loss, gradient.view(len(theta), -1)


def _piece(memory: Tensor, rows: int, columns: int) -> Tensor:
    """Return the beginning of some memory as a matrix."""
    return memory[: rows * columns].view(rows, columns)
