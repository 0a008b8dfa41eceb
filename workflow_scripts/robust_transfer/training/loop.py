"""The training loop, one for pretraining and for fine-tuning; resumable to the bit on a CPU."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.errors import UserError
from robust_transfer.progress import progress
from robust_transfer.training.randomness import derived_generator
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.state import (
    TrainingState,
    load_state,
    save_state,
)
from robust_transfer.training.step import Recipe, TrainingStep

SECONDS_BETWEEN_STATES = 60.0

Metrics = dict[str, float]


class TrainingDivergedError(UserError):
    """The loss is no longer a number."""


@dataclass
class Run:
    """A run under way, and what it leaves.

    Attributes:
        best: weights at the best evaluation.
        history: one row an evaluation.
        step: the step to take next.
    """

    average: dict[str, Tensor]
    loss_sum: Tensor
    best: dict[str, Tensor] = field(default_factory=dict)
    best_value: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    evaluate: Callable[[nn.Module], Metrics],
    evaluate_every: int,
    state_path: Path,
    after_step: Callable[[int], None] | None = None,
) -> Run:
    """Train `model` in place with SGD.

    Args:
        model: maps float images in [0, 1] to logits; trained in place, left in eval mode.
        images: (n, 3, height, width) uint8, on the model's device.
        labels: (n,) int64, on the same device.
        recipe: how to train.
        seed: of order, augmentation, attack and dropout.
        evaluate: returns metrics of the model, which it finds in eval mode.
        evaluate_every: steps between evaluations; the last step is always followed by one.
        state_path: where the state is kept until the run has ended; the caller removes it.
        after_step: called with the number of steps done (a test stops the run here).

    Returns:
        The run: its best weights and history. The last weights are in `model`.

    Raises:
        TrainingDivergedError: the loss is not finite; the last good state stays on disk.
    """
    batch_size = min(recipe.batch_size, len(images))  # a set smaller than a batch: one batch
    optimiser = Sgd(model.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    run = Run(average=_averaged(model, recipe), loss_sum=torch.zeros((), device=images.device))
    _resume(run, model, optimiser, recipe, state_path)
    take_step = TrainingStep(model, recipe, optimiser, seed=seed)
    saved = started = time.monotonic()
    spent = run.seconds
    steps = progress(range(run.step, recipe.steps), total=recipe.steps, label=recipe.label)
    for step in steps:
        chosen = _batch(len(images), batch_size, step, seed).to(images.device)
        run.loss_sum += take_step(images[chosen], labels[chosen], step)
        _average(run.average, model, recipe.weight_average)
        run.step, run.seconds = step + 1, spent + time.monotonic() - started
        if run.step % evaluate_every == 0 or run.step == recipe.steps:
            _evaluate(run, model, recipe, evaluate, evaluate_every)
        due = time.monotonic() - saved > SECONDS_BETWEEN_STATES
        if due and torch.isfinite(run.loss_sum):  # the state on disk stays a good one
            _save(run, model, optimiser, recipe, state_path)
            saved = time.monotonic()
        if after_step is not None:
            after_step(run.step)
    _save(run, model, optimiser, recipe, state_path)
    model.eval()
    return run


def _batch(n: int, batch_size: int, step: int, seed: int) -> Tensor:
    """Return the indices of one step: each epoch is a fresh order, its remainder dropped."""
    epoch, position = divmod(step, n // batch_size)
    return _order(n, seed, epoch)[position * batch_size : (position + 1) * batch_size]


@functools.lru_cache(maxsize=1)
def _order(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=derived_generator(seed, "order", epoch))


def _evaluate(
    run: Run,
    model: nn.Module,
    recipe: Recipe,
    evaluate: Callable[[nn.Module], Metrics],
    every: int,
) -> None:
    """Add a row to the history, and keep the weights if they are the best so far."""
    steps = (run.step - 1) % every + 1
    loss = float(run.loss_sum) / steps
    if not torch.isfinite(run.loss_sum):
        raise TrainingDivergedError(
            f"{recipe.label}: the loss is {loss} within the {steps} steps before step {run.step}. "
            "Lower the learning rate, or lengthen its warm-up or that of epsilon. The last good "
            "state is kept."
        )
    model.eval()
    current = {name: value.clone() for name, value in model.state_dict().items()}
    if run.average:
        model.load_state_dict(run.average)
    metrics = evaluate(model)
    if metrics[recipe.select_by] > run.best_value:
        run.best_value = metrics[recipe.select_by]
        run.best = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(current)
    rate = recipe.learning_rate(run.step - 1)
    row = {"step": run.step, "train_loss": loss, "learning_rate": rate, **metrics}
    run.history.append(row | {"seconds": round(run.seconds, 3)})
    run.loss_sum.zero_()


def _averaged(model: nn.Module, recipe: Recipe) -> dict[str, Tensor]:
    if not recipe.weight_average:
        return {}
    return {name: value.clone() for name, value in model.state_dict().items()}


def _average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the average towards the weights and the BatchNorm statistics."""
    for name, value in model.state_dict().items() if average else ():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _save(run: Run, model: nn.Module, optimiser: Sgd, recipe: Recipe, path: Path) -> None:
    """Replace the state on disk."""
    groups = {"model": model.state_dict(), "best": run.best, "average": run.average}
    tensors = {f"{g}.{name}": value for g, group in groups.items() for name, value in group.items()}
    tensors |= optimiser.state() | {"loss_sum": run.loss_sum}
    kept = ("best_value", "history", "step", "seconds")
    record = {"identity": recipe.identity} | {name: getattr(run, name) for name in kept}
    save_state(path, TrainingState(tensors, record))


def _resume(run: Run, model: nn.Module, optimiser: Sgd, recipe: Recipe, path: Path) -> None:
    """Go on from the state on disk, if there is one of this run."""
    state = load_state(path, recipe.identity)
    if state is None:
        return

    def group(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): value.to(run.loss_sum.device)
            for name, value in state.tensors.items()
            if name.startswith(prefix)
        }

    model.load_state_dict(group("model."))
    optimiser.load_state(group(""))
    run.best, run.average = group("best."), group("average.")
    run.loss_sum.copy_(state.tensors["loss_sum"])
    for name in ("best_value", "history", "step", "seconds"):
        setattr(run, name, state.record[name])
