"""Full-batch L-BFGS on several problems at once, preconditioned, in few and large operations."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

MEMORY = 12  # pairs of steps and gradient changes that approximate the curvature
SUFFICIENT_DECREASE = 1e-4  # of the line search (Nocedal & Wright 2006, section 3.1)


class Problem(Protocol):
    """Several smooth functions of as many parameters each."""

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Map (problems, parameters) to losses (problems,) and gradients of theta's shape."""

    def gap(self, gradient: Tensor) -> Tensor:
        """Bound how far each loss is above its least, where it was evaluated last."""

    def soften(self, vector: Tensor) -> Tensor:
        """Divide (problems, parameters) by a symmetric guess at the curvature, always the same."""

    def keep(self, kept: list[int]) -> None:
        """Go on with these problems alone, in this order; all else is asked of them from now on."""


class Minimum(NamedTuple):
    """Where a search ended.

    Attributes:
        theta: (problems, parameters).
        loss: (problems,).
        gradient: (problems, parameters).
        iterations: (problems,) int64, steps taken.
        solved: (problems,) bool, whether the gap was as small as asked.
    """

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    iterations: Tensor
    solved: Tensor


def minimise(
    problem: Problem, theta: Tensor, *, relative_gap: float, max_iterations: int
) -> Minimum:
    """Descend until every problem is solved; those that are cost nothing from then on.

    Args:
        problem: what is minimised.
        theta: (problems, parameters) float64, where to start.
        relative_gap: a problem counts as solved when its gap is at most this share of its loss.
        max_iterations: at which the search ends in any case.

    Source: Liu & Nocedal 1989, Mathematical Programming 45, algorithm 2.1.
    """
    loss, gradient = problem(theta)
    at = Point(theta, loss, gradient, problem.soften(gradient))
    pairs = Pairs(theta)
    live = torch.arange(len(theta), device=theta.device)
    moved = torch.ones_like(live, dtype=torch.bool)
    ended = Minimum(*(each.clone() for each in (*at[:3], torch.zeros_like(live), moved)))
    for iteration in range(max_iterations + 1):
        solved = problem.gap(at.gradient) <= relative_gap * at.loss
        goes_on = moved & ~solved
        if not bool(goes_on.all()) or iteration == max_iterations:
            for whole, part in zip(ended[:3], at[:3], strict=True):
                whole[live] = part
            ended.iterations[live], ended.solved[live] = iteration, solved
            kept = goes_on.nonzero().flatten().tolist()
            if not kept or iteration == max_iterations:
                break
            live, at = live[kept], Point(*(each[kept] for each in at))
            pairs.keep(kept)
            problem.keep(kept)
        new, moved = _line_search(problem, at, -pairs.improved(at.gradient, at.softened))
        pairs.add(new.theta - at.theta, new.gradient - at.gradient, new.softened - at.softened)
        at = new
    return ended


class Point(NamedTuple):
    """Where a search is: (problems, parameters) but for the (problems,) losses."""

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    softened: Tensor


class Pairs:
    """The last steps and the changes of the gradient along them, which show the curvature.

    Kept as matrices, so that a direction takes a few products of matrices instead of several
    operations for each pair. A pair along which a problem shows no curvature counts as none.

    Args:
        theta: (problems, parameters), for its shape and type.

    Source: Byrd, Nocedal & Schnabel 1994, Mathematical Programming 63, equation 2.6, in which
    gamma I is here gamma times a problem's `soften`; the names are theirs.
    """

    def __init__(self, theta: Tensor) -> None:
        count = len(theta)
        self.order: list[int] = []  # places in use, the oldest first
        self.s = theta.new_zeros(count, MEMORY, theta.shape[1])
        self.softened_y = torch.zeros_like(self.s)
        self.r = theta.new_zeros(count, MEMORY, MEMORY)  # s_i . y_j of pairs i not after j
        self.y_softened_y = torch.zeros_like(self.r)
        self.gamma = theta.new_ones(count, 1)
        self.tiny = torch.finfo(theta.dtype).tiny

    def add(self, step: Tensor, change: Tensor, softened: Tensor) -> None:
        """Keep a pair; beyond `MEMORY` of them the oldest is dropped.

        Args:
            step: (problems, parameters).
            change: of the gradient, the same shape.
            softened: the change divided by the guess at the curvature.
        """
        curvature = _dot(step, change)
        shown = curvature > self.tiny
        step, change, softened = (torch.where(shown, each, 0) for each in (step, change, softened))
        place = len(self.order) if len(self.order) < MEMORY else self.order.pop(0)
        self.order.append(place)
        self.s[:, place], self.softened_y[:, place] = step, softened
        self.r[:, place] = 0
        self.r[:, :, place] = _times(self.s, change)
        self.r[:, place, place] = torch.where(shown, curvature, 1).squeeze(1)
        products = _times(self.softened_y, change)
        self.y_softened_y[:, place], self.y_softened_y[:, :, place] = products, products
        size = products[:, place : place + 1]
        self.gamma = torch.where(size > self.tiny, curvature / size, 1.0)

    def keep(self, kept: list[int]) -> None:
        """Forget all problems but these, in ascending order."""
        self.s, self.softened_y, self.r, self.y_softened_y, self.gamma = (
            _moved_up(each, kept)
            for each in (self.s, self.softened_y, self.r, self.y_softened_y, self.gamma)
        )

    def improved(self, gradient: Tensor, softened: Tensor) -> Tensor:
        """Divide a gradient by the curvature, as far as the pairs show it.

        Args:
            gradient: (problems, parameters).
            softened: the gradient divided by the guess at the curvature.
        """
        if not self.order:
            return softened
        order = torch.tensor(self.order, device=gradient.device)
        square = (slice(None), order.unsqueeze(1), order)
        r, y_softened_y = self.r[square], self.y_softened_y[square]
        along = _times(self.s, gradient)[:, order].unsqueeze(2)
        across = _times(self.softened_y, gradient)[:, order].unsqueeze(2)
        d = r.diagonal(dim1=1, dim2=2).unsqueeze(2)
        u = torch.linalg.solve_triangular(r, along, upper=True)
        right = d * u + self.gamma.unsqueeze(2) * (y_softened_y @ u - across)
        v = torch.linalg.solve_triangular(r.mT, right, upper=False)
        places = gradient.new_zeros(len(gradient), MEMORY, 2)
        places[:, order] = torch.cat([v, -self.gamma.unsqueeze(2) * u], dim=2)
        back = _times(self.s.mT, places[..., 0]) + _times(self.softened_y.mT, places[..., 1])
        return back.add_(self.gamma * softened)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors.unsqueeze(2)).squeeze(2)


def _moved_up(rows: Tensor, kept: list[int]) -> Tensor:
    """Move some rows, given in ascending order, to the front, in the memory where they are."""
    for place, row in enumerate(kept):
        if place != row:
            rows[place] = rows[row]
    return rows[: len(kept)]


def _line_search(problem: Problem, at: Point, direction: Tensor) -> tuple[Point, Tensor]:
    """Halve each problem's step until its loss falls enough; say of each whether it could move."""
    slope = _dot(at.gradient, direction)
    direction = torch.where(slope > 0, -at.gradient, direction)
    slope = _dot(at.gradient, direction)
    step = torch.ones_like(slope)
    for _ in range(30):
        theta = at.theta + step * direction
        loss, gradient = problem(theta)
        enough = loss.unsqueeze(1) <= at.loss.unsqueeze(1) + SUFFICIENT_DECREASE * step * slope
        if bool(enough.all()):
            break
        step = torch.where(enough, step, step / 2)
    else:  # the loss of some cannot be lowered any further in this precision
        theta = at.theta + torch.where(enough, step, 0) * direction
        loss, gradient = problem(theta)
    return Point(theta, loss, gradient, problem.soften(gradient)), enough.squeeze(1)
