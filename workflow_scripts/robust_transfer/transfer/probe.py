"""Multinomial logistic regression with L2 penalty: all seeds and penalties at once, by L-BFGS."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robust_transfer.transfer.lbfgs import minimise
from robust_transfer.transfer.probe_memory import CHUNK_BYTES, rows_of_a_chunk
from robust_transfer.transfer.sample import PIECE, Sample

MOST_ITERATIONS = 2000  # of one search; penalties of 1e-6 take some 1,000


@dataclass(frozen=True)
class Probes:
    """Linear classifiers, one a sample and penalty.

    Attributes:
        weight: (samples, penalties, features + 1, classes); the last row is the bias.
        loss: (samples, penalties) mean cross-entropy plus penalty term, at the end.
        gradient_norm: (samples, penalties) Euclidean norm of the gradient, at the end.
        iterations: (samples, penalties) int64, of L-BFGS.
        solved: (samples, penalties) bool, whether the loss is proven to be as near its least as
            was asked.
    """

    weight: Tensor
    loss: Tensor
    gradient_norm: Tensor
    iterations: Tensor
    solved: Tensor

    def logits(self, place: int, sample: Sample, rows: Tensor) -> Tensor:
        """Return the (penalties, n, classes) float64 logits of images by a sample's probes.

        Args:
            place: of the sample.
            sample: that sample: its matrix of features and its standardisation.
            rows: (n,) of that matrix.
        """
        weight = self.weight[place]
        logits = weight.new_empty(len(weight), len(rows), weight.shape[2])
        for some, out in zip(rows.split(PIECE), logits.split(PIECE, dim=1), strict=True):
            out.copy_(sample.standardised(some) @ weight[:, :-1] + weight[:, -1:])
        return logits


def fit_probes(
    samples: Sequence[Sample],
    *,
    classes: int,
    penalties: Tensor,
    relative_gap: float = 1e-7,
    max_iterations: int = MOST_ITERATIONS,
    start: Tensor | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    room: Tensor | None = None,
) -> Probes:
    """Minimise mean cross-entropy + penalty / 2 * |W|^2 for each sample and penalty.

    The bias is not penalised. scikit-learn's `C` is 1 / (n * penalty). Arithmetic is in float64.

    Args:
        samples: of equally many images each, such as the training images of each seed.
        classes: number of classes, at least 2.
        penalties: (samples, penalties), or (penalties,) for every sample alike, above 0.
        relative_gap: a problem counts as solved when its loss is within this share of the least
            one, by the bound of Boyd & Vandenberghe 2004, equation 9.9: a function with curvature
            of at least m lies at most |gradient|^2 / (2 m) above its minimum. For the weights m
            is the penalty; for the bias, which has none, the curvature that is there (its least
            over classes; the tests hold the whole against scikit-learn).
        max_iterations: at which the search ends in any case.
        start: (samples, penalties, features + 1, classes) to start from, such as `weight` of a fit
            to some of the same images; None: zero.
        chunk_bytes: images are worked on in chunks whose arithmetic takes at most so much (and at
            least one image of each sample at a time); `probe_bytes` says what is needed in all.
        room: float64 to hold a chunk, for several fits to share; of at least `room_for` numbers.

    Raises:
        ValueError: features are not finite, a penalty is not above 0, or samples differ in size.
    """
    penalties = penalties.to(samples[0].features.device, torch.float64)
    penalties = penalties.expand(len(samples), -1).contiguous()
    _check(samples, penalties)
    problem = _Problem(samples, classes, penalties.flatten(), chunk_bytes, room)
    shape = (*penalties.shape, classes, problem.width)
    theta = penalties.new_zeros(penalties.numel(), problem.width * classes)
    if start is not None:
        theta += start.to(theta).mT.reshape(theta.shape)
    found = minimise(problem, theta, relative_gap=relative_gap, max_iterations=max_iterations)
    return Probes(
        weight=found.theta.view(shape).mT,
        loss=found.loss.view(penalties.shape),
        gradient_norm=found.gradient.norm(dim=1).view(penalties.shape),
        iterations=found.iterations.view(penalties.shape),
        solved=found.solved.view(penalties.shape),
    )


def _check(samples: Sequence[Sample], penalties: Tensor) -> None:
    """Raise ValueError for what no fit could end with."""
    if len({len(sample) for sample in samples}) > 1:
        sizes = [len(sample) for sample in samples]
        raise ValueError(f"samples of {sizes} images: expected equally many.")
    if not all(sample.is_finite() for sample in samples):
        raise ValueError("features are not finite: the backbone's outputs overflow.")
    if not bool((penalties > 0).all()):
        raise ValueError(f"penalties {penalties.tolist()}: expected numbers above 0.")


class _Problem:
    """Loss and gradient of every probe, all samples and penalties at once, chunk by chunk.

    Parameters are (problems, classes * width), a sample's penalties side by side, and images lie
    in columns: products of such matrices, and sums over classes, are twice as quick as those of
    images in rows. Each sample has a product of its own, which is quicker than one batch of them.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: int,
        penalties: Tensor,
        chunk_bytes: int,
        room: Tensor | None = None,
    ) -> None:
        self.samples, self.classes, self.penalties = samples, classes, penalties
        self.n, self.width = len(samples[0]), samples[0].width + 1
        columns = len(penalties) * classes
        wide = len(samples) * self.width
        self.rows = rows_of_a_chunk(self.n, wide, columns, chunk_bytes)
        # Of one chunk, made once: as much again and again leaves holes that nothing else fits in.
        sizes = [self.rows * each for each in (wide, columns, columns)]
        room = penalties.new_empty(sum(sizes)) if room is None else room[: sum(sizes)]
        self.chunk, self.logits, self.exponentials = room.split(sizes)
        self.filled = False
        owners = torch.arange(len(samples), device=penalties.device)
        self._own(owners.repeat_interleave(len(penalties) // len(samples)))
        # The curvature at equal probabilities, (1 - 1/C) / C times that of the features, plus
        # the penalty: correlated features make it uneven, and L-BFGS slow, unless divided out.
        # One for all samples, their mean: they are mostly of the same images.
        moment = penalties.new_zeros(self.width, self.width)
        for chunk, _ in self._chunks():
            for x in chunk:
                moment.addmm_(x, x.T)
        spread, self.axes = torch.linalg.eigh(moment.div_(self.n * len(samples)))
        scale = (1 - 1 / classes) / classes
        self.bias_curvature = penalties
        self.curvature = (scale * spread.clamp_min(0) + self.penalties.view(-1, 1)).unsqueeze(1)

    def _own(self, owners: Tensor) -> None:
        """Take note of which sample each problem is of: ascending places in `samples`."""
        self.owners = owners
        places, counts = owners.unique_consecutive(return_counts=True)
        self.places, self.counts = places.tolist(), counts.tolist()

    def keep(self, kept: list[int]) -> None:
        """Go on with these problems alone."""
        self.penalties, self.curvature = self.penalties[kept], self.curvature[kept]
        self.bias_curvature = self.bias_curvature[kept]
        self._own(self.owners[kept])

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (samples, width, images) features, a row of ones last, and the images' labels.

        All chunks take turns in the same memory; the only one is filled once. Of samples without
        problems the features are not filled in.
        """
        for first in range(0, self.n, self.rows):
            part = slice(first, min(first + self.rows, self.n))
            chunk = _piece(self.chunk, len(self.samples), self.width, part.stop - first)
            if not self.filled:
                for place in self.places:
                    self.samples[place].write(part, chunk[place, :-1])
                    chunk[place, -1] = 1
                self.filled = self.rows == self.n
            yield chunk, torch.stack([sample.labels[part] for sample in self.samples])

    def soften(self, vector: Tensor) -> Tensor:
        """Divide (problems, parameters) by the curvature at equal probabilities."""
        inside = vector.view(len(vector), self.classes, -1) @ self.axes
        return inside.div_(self.curvature).matmul(self.axes.T).reshape(len(vector), -1)

    def gap(self, gradient: Tensor) -> Tensor:
        """Bound how far each loss is above its least, where it was evaluated last."""
        squares = gradient.view(len(gradient), self.classes, self.width).square()
        weights, bias = squares[..., :-1].sum((1, 2)), squares[..., -1].sum(1)
        free = torch.minimum(self.bias_curvature, self.penalties).clamp_min(1e-12)
        return weights / (2 * self.penalties) + bias / (2 * free)

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map (problems, parameters) to losses (problems,) and gradients of theta's shape."""
        shape = (len(theta), self.classes, self.width)
        penalised = theta.view(shape).clone()
        penalised[..., -1] = 0  # the bias is free
        loss = 0.5 * self.penalties * penalised.square().sum((1, 2))
        gradient = torch.zeros_like(penalised)
        curvature = torch.zeros_like(penalised[..., -1])
        for x, labels in self._chunks():
            of_images = (len(theta), self.classes, labels.shape[1])
            true = labels[self.owners].unsqueeze(1)
            logits = _piece(self.logits, *of_images)
            for place, weights, out in self._by_sample(theta.view(shape), logits):
                torch.mm(weights, x[place], out=out)
            logits -= logits.amax(1, keepdim=True)
            exponentials = _piece(self.exponentials, *of_images)
            total = torch.exp(logits, out=exponentials).sum(1, keepdim=True)
            loss -= (logits.gather(1, true) - total.log()).sum((1, 2)) / self.n
            residual = exponentials.div_(total)  # the probabilities, less 1 at the true class
            curvature += residual.sum(2) - torch.mul(residual, residual, out=logits).sum(2)
            residual.scatter_add_(1, true, residual.new_full(true.shape, -1.0))
            for place, out, errors in self._by_sample(gradient, residual):
                out.addmm_(errors, x[place].T)
        self.bias_curvature = curvature.amin(1) / self.n
        gradient = gradient.div_(self.n).addcmul_(self.penalties.view(-1, 1, 1), penalised)
        return loss, gradient.view(len(theta), -1)

    def _by_sample(self, *of_problems: Tensor) -> Iterator[tuple[Any, ...]]:
        """Yield each sample's place, and its part of (problems, classes, k) as (columns, k)."""
        parts = ([part.flatten(0, 1) for part in each.split(self.counts)] for each in of_problems)
        return zip(self.places, *parts, strict=True)


def _piece(memory: Tensor, *shape: int) -> Tensor:
    """Return the beginning of some memory in a shape."""
    return memory[: math.prod(shape)].view(shape)
