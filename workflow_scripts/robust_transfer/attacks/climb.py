"""One run of Auto-PGD: gradient ascent that chooses its own step sizes.

Source: Croce and Hein 2020, arXiv:2003.01690, algorithm 1 and section 3.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_transfer.attacks.margins import TargetedLoss
from robust_transfer.attacks.pgd import input_gradient
from robust_transfer.attacks.threat import ThreatModel

MOMENTUM = 0.75  # alpha of the paper: weight of the new step beside the last change
RISES = 0.75  # rho: smaller shares of steps that raised the loss halve the step size
FIRST_CHECK, SHORTER, SHORTEST = 0.22, 0.03, 0.06  # of the steps: spacing of the checkpoints


@dataclass(frozen=True)
class Ascent:
    """What a run is to do.

    Attributes:
        threat: the ball.
        epsilon: its radius, in pixel units of images in [0, 1].
        loss: what to raise.
        steps: gradient evaluations an image, beside the one at the start.
        until_fooled: leave images out from the first checkpoint at which they are misclassified
            (which image is fooled does not change, and a weak model costs less).
    """

    threat: ThreatModel
    epsilon: float
    loss: TargetedLoss
    steps: int
    until_fooled: bool = False


@dataclass
class _Climb:
    """The search under way; every tensor has one row an image.

    `point` moves on from `previous`; `best` is where `best_loss` was; `found` is the
    misclassified point of the highest loss, `found_loss` -inf where there is none; `rises`
    counts loss-raising steps since the last checkpoint, at which the best loss was
    `checked_loss` and at which `halved` step sizes were halved.
    """

    rows: Tensor
    images: Tensor
    labels: Tensor
    targets: Tensor
    point: Tensor
    previous: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    found: Tensor
    found_loss: Tensor
    step_size: Tensor
    rises: Tensor
    checked_loss: Tensor
    halved: Tensor

    def only(self, kept: Tensor) -> "_Climb":
        """Return the search with some of its images."""
        fields = dataclasses.fields(self)
        return _Climb(**{field.name: getattr(self, field.name)[kept] for field in fields})

    def outcome(self) -> Tensor:
        """Return the misclassified point where there is one, the best point elsewhere."""
        return torch.where(
            _rowwise(self.found_loss > -torch.inf, self.found), self.found, self.best
        )


def climb(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    start: Tensor,
    ascent: Ascent,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run Auto-PGD once.

    Args:
        model: in eval mode, gradients enabled.
        images: (batch, ...) floats in [0, 1], without history.
        labels: (batch,) int64.
        targets: (batch,) int64, for losses that aim at a class.
        start: (batch, ...) in the ball and in [0, 1].
        ascent: what to do.

    Returns:
        For each image the misclassified point of highest loss, or without one the point of
        highest loss; whether it is misclassified (bool); its loss.
    """
    outcome, wrong = images.clone(), torch.zeros_like(labels, dtype=torch.bool)
    losses = torch.zeros(len(images), dtype=images.dtype, device=images.device)
    state = _begin(model, images, labels, targets, start, ascent)
    last_check, checks = 0, checkpoints(ascent.steps)
    for step in range(1, ascent.steps + 1):
        _advance(model, state, ascent, momentum=MOMENTUM if step > 1 else 1.0)
        if step in checks:
            _halve(state, step - last_check)
            last_check = step
            if ascent.until_fooled:
                _write(state, outcome, wrong, losses)
                state = state.only(state.found_loss == -torch.inf)
                if not len(state.rows):
                    break
    _write(state, outcome, wrong, losses)
    return outcome, wrong, losses


def checkpoints(steps: int) -> list[int]:
    """Return after which steps the step sizes are reconsidered.

    Args:
        steps: length of the run.

    Returns:
        Ascending numbers from 1 to `steps`.

    Source: arXiv:2003.01690, section 3: p_1 = 0.22, then p_j grows by the last gap less 0.03,
    and by 0.06 at least.
    """
    found, place, gap = [], FIRST_CHECK, FIRST_CHECK
    while place <= 1:
        found.append(math.ceil(round(place * steps, 9)))
        gap = max(gap - SHORTER, SHORTEST)
        place += gap
    return sorted(set(found) - {0})


def _begin(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    start: Tensor,
    ascent: Ascent,
) -> _Climb:
    gradient, loss, logits = _look(model, start, labels, targets, ascent.loss)
    wrong = logits.argmax(1) != labels
    return _Climb(
        rows=torch.arange(len(images), device=images.device),
        images=images,
        labels=labels,
        targets=targets,
        point=start,
        previous=start,
        gradient=gradient,
        loss=loss,
        best=start,
        best_loss=loss,
        best_gradient=gradient,
        found=start,
        found_loss=loss.masked_fill(~wrong, -torch.inf),
        step_size=torch.full_like(loss, 2 * ascent.epsilon),
        rises=torch.zeros_like(labels),
        checked_loss=loss,
        halved=torch.zeros_like(wrong),
    )


def _advance(model: nn.Module, s: _Climb, ascent: Ascent, *, momentum: float) -> None:
    """Take a step with momentum, and remember the best points."""
    threat, epsilon = ascent.threat, ascent.epsilon
    step = _rowwise(s.step_size, s.point) * threat.direction(s.gradient)
    ahead = threat.confine(s.images, s.point + step, epsilon)
    moved = s.point + momentum * (ahead - s.point) + (1 - momentum) * (s.point - s.previous)
    s.previous, s.point = s.point, threat.confine(s.images, moved, epsilon)
    s.gradient, loss, logits = _look(model, s.point, s.labels, s.targets, ascent.loss)
    s.rises = s.rises + (loss > s.loss)
    s.loss = loss
    better = loss > s.best_loss
    s.best_loss = torch.where(better, loss, s.best_loss)
    s.best = torch.where(_rowwise(better, s.best), s.point, s.best)
    s.best_gradient = torch.where(_rowwise(better, s.best), s.gradient, s.best_gradient)
    found = (logits.argmax(1) != s.labels) & (loss > s.found_loss)
    s.found_loss = torch.where(found, loss, s.found_loss)
    s.found = torch.where(_rowwise(found, s.found), s.point, s.found)


def _halve(s: _Climb, steps: int) -> None:
    """Halve the step size of the images that make too little progress; restart from their best."""
    oscillates = s.rises < RISES * steps
    stuck = ~s.halved & (s.best_loss <= s.checked_loss)
    s.halved = oscillates | stuck
    s.step_size = torch.where(s.halved, s.step_size / 2, s.step_size)
    restart = _rowwise(s.halved, s.point)
    s.point = torch.where(restart, s.best, s.point)
    s.gradient = torch.where(restart, s.best_gradient, s.gradient)
    s.loss = torch.where(s.halved, s.best_loss, s.loss)
    s.checked_loss = s.best_loss
    s.rises = torch.zeros_like(s.rises)


def _look(
    model: nn.Module, points: Tensor, labels: Tensor, targets: Tensor, loss: TargetedLoss
) -> tuple[Tensor, Tensor, Tensor]:
    def of_logits(logits: Tensor) -> Tensor:
        return loss(logits, labels, targets)

    gradient, losses, logits = input_gradient(model, points, of_logits)
    return gradient, losses.to(points.dtype), logits


def _write(s: _Climb, outcome: Tensor, wrong: Tensor, losses: Tensor) -> None:
    found = s.found_loss > -torch.inf
    outcome[s.rows] = s.outcome()
    wrong[s.rows] = found
    losses[s.rows] = torch.where(found, s.found_loss, s.best_loss)


def _rowwise(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value a row so that it broadcasts over `like`."""
    return values.view(-1, *(1,) * (like.ndim - 1))
