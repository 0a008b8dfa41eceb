"""The training loop, one for pretraining and for fine-tuning; resumable to the bit on a CPU."""

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.errors import UserError
from robust_transfer.progress import progress
from robust_transfer.training.pool import Pool, Resident
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.randomness import derived_generator
from robust_transfer.training.run import Run, averaged, move_average, resume_run, save_run
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.step import Recipe, TrainingStep

SECONDS_BETWEEN_STATES = 60.0

Metrics = dict[str, float]


class TrainingDivergedError(UserError):
    """The loss is no longer a number."""


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    **arguments: Any,
) -> Run:
    """Train `model` in place on images that lie on its device: `fit_pool` on a resident pool.

    Args:
        model: maps float images in [0, 1] to logits; trained in place, left in eval mode.
        images: (n, 3, height, width) uint8, on the model's device.
        labels: (n,) int64, on the same device.
        recipe: how to train.
        **arguments: of `fit_pool`.
    """
    return fit_pool(model, Resident(images, labels), recipe, **arguments)


def fit_pool(
    model: nn.Module,
    pool: Pool,
    recipe: Recipe,
    *,
    seed: int,
    evaluate: Callable[[nn.Module], Metrics],
    evaluate_every: int,
    state_path: Path,
    after_step: Callable[[int], None] | None = None,
    processes: Processes = ALONE,
) -> Run:
    """Train `model` in place with SGD.

    Args:
        model: maps float images in [0, 1] to logits; trained in place, left in eval mode.
        pool: the training images; batches lie on the model's device.
        recipe: how to train.
        seed: of order, augmentation, attack and dropout.
        evaluate: returns metrics of the model, which it finds in eval mode; the same on every
            process.
        evaluate_every: steps between evaluations; the last step is always followed by one.
        state_path: where the state is kept until the run has ended; the caller removes it.
        after_step: called with the number of steps done (a test stops the run here).
        processes: that train together, of which this is one; the first writes the state.

    Returns:
        The run: its best weights and history. The last weights are in `model`.

    Raises:
        TrainingDivergedError: the loss is not finite; the last good state stays on disk.
    """
    batch_size = min(recipe.batch_size, len(pool))  # a set smaller than a batch: one batch
    if batch_size < processes.count:
        raise UserError(f"{recipe.label}: {processes.count} GPUs for batches of {batch_size}.")
    optimiser = Sgd(model.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    run = Run(averaged(model, recipe), torch.zeros((), device=pool.labels.device))
    resume_run(run, model, optimiser, recipe, state_path)
    processes.wait()  # all have read the state before the first replaces it
    take_step = TrainingStep(model, recipe, optimiser, seed=seed, processes=processes)
    saved = started = time.monotonic()
    spent = run.seconds
    for step, images, labels in _steps(pool, batch_size, run.step, recipe, seed, processes):
        run.loss_sum += take_step(images, labels, step, n=batch_size)
        move_average(run.average, model, recipe.weight_average)
        run.step, run.seconds = step + 1, spent + time.monotonic() - started
        if run.step % evaluate_every == 0 or run.step == recipe.steps:
            _evaluate(run, model, recipe, evaluate, evaluate_every)
        due = processes.leads and time.monotonic() - saved > SECONDS_BETWEEN_STATES
        if due and torch.isfinite(run.loss_sum):  # the state on disk stays a good one
            save_run(run, model, optimiser, recipe, state_path)
            saved = time.monotonic()
        if after_step is not None:
            after_step(run.step)
    if processes.leads:
        save_run(run, model, optimiser, recipe, state_path)
    model.eval()
    return run


def _steps(
    pool: Pool, batch_size: int, first: int, recipe: Recipe, seed: int, processes: Processes
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each step that is left, with this process's share of its batch."""
    left = range(first, recipe.steps)
    order = (_batch(len(pool), batch_size, step, seed)[processes.rows] for step in left)
    said = progress(left, total=recipe.steps, label=recipe.label) if processes.leads else left
    for step, (images, labels) in zip(said, pool.batches(order), strict=True):
        yield step, images, labels


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
