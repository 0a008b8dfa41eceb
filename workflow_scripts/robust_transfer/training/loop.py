"""The training loop, one for pretraining and for fine-tuning; resumable to the bit on a CPU."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from robust_transfer.errors import UserError
from robust_transfer.progress import progress
from robust_transfer.training.divergence import LOOK_EVERY, Watch
from robust_transfer.training.pool import Batch, Pool, Resident
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.randomness import derived_generator
from robust_transfer.training.run import Run, averaged, move_average, resume_run, save_run
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.step import Recipe, TrainingStep

SECONDS_BETWEEN_STATES = 60.0

Metrics = dict[str, float]
T = TypeVar("T")


class Course(Protocol):
    """What the loop itself asks of a recipe."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        ...

    @property
    def batch_size(self) -> int:
        """Images a step."""
        ...

    @property
    def label(self) -> str:
        """What a progress line says."""
        ...


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
    batch_size = size_of_batch(recipe, len(pool), processes)
    optimiser = Sgd(model.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    run = Run(averaged(model, recipe), torch.zeros((), device=pool.labels.device))
    resume_run(run, model, optimiser, recipe.identity, state_path)
    take_step = TrainingStep(model, recipe, optimiser, seed=seed, processes=processes)

    def step_on(batch: Batch, step: int) -> Tensor:
        loss = take_step(*batch, step, n=batch_size)
        move_average(run.average, model, recipe.weight_average)
        return loss

    positions = batches_left(len(pool), batch_size, run.step, recipe, seed, processes)
    run_steps(
        run,
        Watch(run, optimiser.parameters, recipe.label),
        said(pool.batches(positions), run.step, recipe, processes),
        step_on,
        lambda: _evaluate(run, model, recipe, evaluate, evaluate_every),
        every=evaluate_every,
        steps=recipe.steps,
        save=lambda: save_run(run, model, optimiser, recipe.identity, state_path),
        after_step=after_step,
        processes=processes,
    )
    model.eval()
    return run


def run_steps(
    run: Run,
    watch: Watch,
    batches: Iterable[T],
    take_step: Callable[[T, int], Tensor],
    record: Callable[[], None],
    *,
    every: int,
    steps: int,
    save: Callable[[], None],
    after_step: Callable[[int], None] | None,
    processes: Processes,
) -> None:
    """Take the steps that are left of a run; keep its state on disk from time to time.

    Args:
        run: changed in place; `resume_run` has put it where it goes on.
        watch: of the run.
        batches: this process's share of each step that is left.
        take_step: from batch and step to its loss, still on the device.
        record: adds a row to the history.
        every: steps between rows; the last step is always followed by one.
        steps: of the whole run.
        save: writes the state; it is called on the process that leads alone.
        after_step: called with the number of steps done.
        processes: that train together, of which this is one.

    Raises:
        TrainingDivergedError: a loss or a weight is not finite; no such state reaches the disk.
    """
    processes.wait()  # all have read the state before the first replaces it
    saved = started = time.monotonic()
    spent = run.seconds
    for step, batch in zip(range(run.step, steps), batches, strict=True):
        loss = take_step(batch, step)
        run.loss_sum += loss
        run.step, run.seconds = step + 1, spent + time.monotonic() - started
        watch.see(loss, run.step)
        recorded = run.step % every == 0 or run.step == steps
        due = processes.leads and time.monotonic() - saved > SECONDS_BETWEEN_STATES
        if recorded or due or run.step % LOOK_EVERY == 0:
            watch.check(weights=recorded or due)
        if recorded:
            record()
        if due:
            save()
            saved, run.saved = time.monotonic(), run.step
        if after_step is not None:
            after_step(run.step)
    run.seconds = spent + time.monotonic() - started
    if processes.leads:
        save()


def size_of_batch(recipe: Course, n: int, processes: Processes) -> int:
    """Return the images of a step: of a set smaller than a batch, all.

    Raises:
        UserError: fewer than processes.
    """
    batch_size = min(recipe.batch_size, n)
    if batch_size < processes.count:
        raise UserError(f"{recipe.label}: {processes.count} GPUs for batches of {batch_size}.")
    return batch_size


def batches_left(
    n: int, batch_size: int, first: int, recipe: Course, seed: int, processes: Processes
) -> Iterator[Tensor]:
    """Yield the positions of this process's share of each step that is left."""
    for step in range(first, recipe.steps):
        yield batch_at(n, batch_size, step, seed)[processes.rows]


def said(batches: Iterable[T], first: int, recipe: Course, processes: Processes) -> Iterator[T]:
    """Yield the batches that are left, and say on the process that leads how far it is."""
    left = range(first, recipe.steps)
    shown = progress(left, total=recipe.steps, label=recipe.label) if processes.leads else left
    for _, batch in zip(shown, batches, strict=True):
        yield batch


def batch_at(n: int, batch_size: int, step: int, seed: int) -> Tensor:
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
    (loss,) = mean_losses(run, every)
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


def mean_losses(run: Run, every: int) -> list[float]:
    """Return the mean loss, or that of each part, since the last row; the sum begins anew."""
    steps = (run.step - 1) % every + 1
    losses = [each / steps for each in run.loss_sum.reshape(-1).tolist()]
    run.loss_sum.zero_()
    return losses
