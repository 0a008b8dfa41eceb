"""One step of training: augment, attack, descend; in parts where the GPU's memory is too small."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust_transfer.attacks.batches import by_batches
from robust_transfer.training.augmentation import Augments
from robust_transfer.training.compiling import may_pay, quicker
from robust_transfer.training.device import half_precision
from robust_transfer.training.losses import training_loss
from robust_transfer.training.parts import LossOfRows, Parts
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.randomness import (
    derived_generator,
    derived_seed,
    seed_modules,
)
from robust_transfer.training.sgd import Sgd

Forward = Callable[[Tensor], Tensor]
Attack = Callable[[nn.Module, Tensor, Tensor, int, torch.Generator], Tensor]


def compiled_where_quicker(
    model: nn.Module, images: Tensor, *, what: str, backend: str = "inductor"
) -> Forward:
    """Compile a model's training pass, where that is quicker; the trial leaves no trace in it.

    Args:
        model: in training mode.
        images: a batch as they will come.
        what: it is, for the log.
        backend: of torch.compile.
    """
    trained = [each for each in model.parameters() if each.requires_grad]
    before = [each.clone() for each in model.buffers()]

    def trial(call: Forward) -> None:
        torch.autograd.grad(call(images).float().sum(), trained, allow_unused=True)

    # A function of its own: evaluation calls the model itself, with batches of other sizes.
    chosen = quicker(
        lambda given: model(given), trial, device=images.device, what=what, backend=backend
    )
    for statistic, value in zip(model.buffers(), before, strict=True):
        statistic.data.copy_(value)
    return chosen


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: optimiser steps in all.
        batch_size: images a step.
        learning_rate: from the step to the learning rate.
        momentum: of SGD.
        weight_decay: L2, on all weights.
        label_smoothing: of the training loss alone; an attack sees hard labels.
        augment: of the training images.
        attack: from model, images, labels, step and generator to perturbed images; None trains
            on clean images.
        trades_beta: weight of TRADES' divergence beside the clean loss; 0: the loss of the
            perturbed images alone.
        weight_average: decay a step of the moving average of the weights that is evaluated, and
            kept as the best, in place of the weights; the last weights are their own; 0: none.
        compile: `auto`: the forward and backward pass of training are compiled where that is
            quicker; `off`.
        select_by: the metric, out of `evaluate`, whose best value is kept.
        identity: names recipe, data and seed: a state with another identity is not resumed.
        label: what a progress line says.
    """

    steps: int
    batch_size: int
    learning_rate: Callable[[int], float]
    momentum: float
    weight_decay: float
    augment: Augments
    identity: str
    label_smoothing: float = 0.0
    attack: Attack | None = None
    trades_beta: float = 0.0
    weight_average: float = 0.0
    compile: str = "off"
    select_by: str = "validation_accuracy"
    label: str = "training"


class TrainingStep:
    """Takes the steps of one run.

    Where a GPU runs out of memory a batch is taken in parts. BatchNorm then normalises each part by
    its own statistics, as it does on several GPUs; everything else is as with the whole batch, but
    for the random numbers of dropout and random starts.

    Args:
        model: trained in place.
        recipe: how.
        optimiser: of the model's weights.
        seed: of augmentation, attack and dropout.
        processes: that train together, of which this is one.

    Attributes:
        parts: that a batch is cut into.
        forward: what maps images to logits in training: the model, or a compiled form; None: not
            yet chosen.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        optimiser: Sgd,
        *,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.recipe, self.optimiser, self.seed = model, recipe, optimiser, seed
        self.processes = processes
        self.parts = Parts(
            model,
            optimiser,
            label=recipe.label,
            differs="BatchNorm uses the statistics of a part.",
            smaller="image_size or architecture",
        )
        self.forward: Forward | None = None

    def __call__(
        self, images: Tensor, labels: Tensor, step: int, *, n: int | None = None
    ) -> Tensor:
        """Take one step.

        Args:
            images: (m, 3, height, width) uint8, this process's share, on the model's device.
            labels: (m,) int64, on the same device.
            step: 0 to `recipe.steps` - 1; every random number is a function of seed and step.
            n: images of the whole batch; None: those that are given.

        Returns:
            The mean loss of the whole batch, still on the device.

        Raises:
            TooLittleMemoryError: one image at a time is too much.
        """
        n, rows = n or len(images), self.processes.rows
        pixels = self._augmented(images, step, n, rows)
        loss = self.parts.gradients(lambda: self._attempt(pixels, labels, step), len(pixels), n=n)
        loss = self.processes.sum_gradients(self.optimiser.parameters, loss)
        self.processes.share_statistics(self.model)
        self.optimiser.step(self.recipe.learning_rate(step))
        return loss

    def _augmented(self, images: Tensor, step: int, n: int, rows: slice) -> Tensor:
        """Augment this process's share; in parts where memory is short, by the same numbers."""
        places = range(n)[rows]

        def some(part: slice) -> Tensor:
            generator = derived_generator(self.seed, "augmentation", step)
            taken = places[part]
            return self.recipe.augment.share(
                images[part], generator, n=n, rows=slice(taken.start, taken.stop, taken.step)
            )

        answers = by_batches(some, len(images), len(images))
        return answers[0] if len(answers) == 1 else torch.cat(answers)

    def _attempt(self, pixels: Tensor, labels: Tensor, step: int) -> LossOfRows:
        """Seed the step; return what maps rows of the share to their mean loss."""
        named = self.processes.named
        seed_modules(derived_seed(self.seed, named("dropout"), step), pixels.device)
        generator = derived_generator(self.seed, named("attack"), step, pixels.device)
        return lambda rows: self._loss(pixels[rows], labels[rows], step, generator)

    def _loss(self, clean: Tensor, labels: Tensor, step: int, generator: torch.Generator) -> Tensor:
        """Attack some images and return their mean loss, with its graph."""
        recipe = self.recipe
        with half_precision(clean.device):
            perturbed = clean
            if recipe.attack is not None:
                perturbed = recipe.attack(self.model, clean, labels, step, generator)
            self.model.train()
            return training_loss(
                self.forward or self._chosen_forward(perturbed),
                clean,
                perturbed,
                labels,
                label_smoothing=recipe.label_smoothing,
                trades_beta=recipe.trades_beta if recipe.attack is not None else 0.0,
            )

    def _chosen_forward(self, images: Tensor) -> Forward:
        """Return the model, or its forward pass compiled where a trial finds that quicker."""
        self.forward = self.model
        if may_pay(self.recipe.compile, images.device, self.recipe.steps):
            self.forward = compiled_where_quicker(self.model, images, what=self.recipe.label)
        return self.forward
