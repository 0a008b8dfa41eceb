"""Protocol paper, both modes: what the published code did, so that a published number can be met.

Frozen means without gradient only: BatchNorm stays in train mode and adapts to the dataset. Inputs
are not normalised (but for CIFAR). SGD for a fixed number of epochs, the learning rate falling by
steps; the best epoch is kept. Source: Salman et al. 2020, arXiv:2007.08489, and its code.

Two things differ: the images that do not fill a batch at the end of an epoch are left out (the next
epoch has another order), and the validation split chooses unless `select_on` is `test`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.images.cache import load_cache
from robust_transfer.training.evaluation import logits_of
from robust_transfer.training.loop import Recipe, Run, fit
from robust_transfer.training.state import state_file
from robust_transfer.transfer.blocks import parts_below
from robust_transfer.transfer.crops import Crops
from robust_transfer.transfer.full import new_model
from robust_transfer.transfer.rates import train_with_each
from robust_transfer.transfer.target import Outcome, Split, Target

#: Test images: the shorter side is resized to this multiple of the input size, the middle taken.
TEST_RESIZE = 256 / 224


class Published:
    """Trains as the published code, with each learning rate, and keeps the best epoch of the best.

    Args:
        backbone: pretrained, on the device; it is copied, not changed.
        target: the dataset, on the same device, test images as the paper prepares them.
        recipe: `transfer.paper` of the config, `mean` and `std` of the inputs, and
            `validation_fraction`.
        cache_folder: of the dataset; crops are cut from its whole images.
        output: beside which training states are kept until the job ends.
        question: what a training state must have been an answer to, to be gone on from.
        head_only: mode fixed.
        trainable_blocks: how many of the last blocks are trained with the head; None: all weights.
    """

    def __init__(
        self,
        backbone: Backbone,
        target: Target,
        recipe: dict[str, Any],
        *,
        cache_folder: str | Path,
        output: str | Path,
        question: str,
        head_only: bool,
        trainable_blocks: int | None = None,
    ) -> None:
        self.backbone, self.target, self.recipe = backbone, target, recipe
        self.output, self.question = output, question
        self.head_only, self.trainable_blocks = head_only, trainable_blocks
        size = target.images.shape[-1]
        self.augment = Crops(load_cache(cache_folder), size, target.images.device)

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        """Yield what each seed gives, one after the other."""
        return map(self.seed, seeds)

    def seed(self, seed: int) -> Outcome:
        """Train, choose and score with one seed."""
        recipe, target = self.recipe, self.target
        split = target.split(recipe["validation_fraction"], seed)
        if recipe["select_on"] == "test":  # as published: every training image is trained on
            split = Split(split.labelled, split.held_out[:0])
        if len(split.train) < 2:
            raise DataError("protocol paper: BatchNorm in train mode needs two training images.")
        chosen = "none" if not len(self._choosing(split)) else recipe["select_on"]
        rates = sorted(recipe["learning_rates"])
        tried = rates if chosen != "none" else [rates[len(rates) // 2]]
        found = train_with_each(
            tried, lambda rate: self._run(split, rate, seed), key="transfer.paper"
        )
        model, run = found.ended[found.best]
        model.load_state_dict(run.best)
        passes = found.images(self._batch(split), len(self._choosing(split)))
        return Outcome(
            logits=logits_of(model, target.test),
            validation_accuracy=run.best_value if chosen == "validation" else None,
            selected=f"learning_rate={found.best:g}",
            selected_on=chosen,
            split=split,
            images_through_network=passes + len(target.test),
            model=lambda: model.eval(),
            seconds_elsewhere=found.seconds_before,
            notes=found.notes,
        )

    def _choosing(self, split: Split) -> torch.Tensor:
        """Return the row numbers that choose learning rate and epoch; none: nothing does."""
        if self.recipe["select_on"] == "test":
            return self.target.test_rows
        return split.held_out

    def _batch(self, split: Split) -> int:
        return min(self.recipe["batch_size"], len(split.train))

    def _run(self, split: Split, rate: float, seed: int) -> tuple[Backbone, Run]:
        """Train a copy of the backbone with one initial learning rate."""
        target, recipe = self.target, self.recipe
        model = self._model(seed)
        rows = self._choosing(split)
        an_epoch = len(split.train) // self._batch(split)

        def evaluate(model: torch.nn.Module) -> dict[str, float]:
            if not len(rows):
                return {"validation_accuracy": 0.0}
            return {
                "validation_accuracy": target.score(logits_of(model, target.images[rows]), rows)
            }

        steps = recipe["epochs"] * an_epoch
        run = fit(
            model,
            split.train,  # row numbers: the augmentation reads the images
            target.labels[split.train],
            self._recipe(rate, seed, an_epoch, steps),
            seed=seed,
            evaluate=evaluate,
            evaluate_every=recipe["evaluate_every"] * an_epoch if len(rows) else steps,
            state_path=state_file(self.output, f"seed{seed}-lr{rate:g}"),
        )
        return model, run

    def _model(self, seed: int) -> Backbone:
        """Return a copy with a new head, the published normalisation and what is frozen frozen."""
        model = new_model(self.backbone, self.target.classes, seed)
        model.mean = model.mean.new_tensor(self.recipe["mean"]).view(1, 3, 1, 1)
        model.std = model.std.new_tensor(self.recipe["std"]).view(1, 3, 1, 1)
        if self.head_only:
            model.body.requires_grad_(False)
        elif self.trainable_blocks is not None:
            for part in parts_below(model, self.trainable_blocks):
                part.requires_grad_(False)
        return model

    def _recipe(self, rate: float, seed: int, an_epoch: int, steps: int) -> Recipe:
        recipe = self.recipe
        return Recipe(
            steps=steps,
            batch_size=recipe["batch_size"],
            learning_rate=lambda step: (
                rate * recipe["decay"] ** (step // an_epoch // recipe["decay_every"])
            ),
            momentum=recipe["momentum"],
            weight_decay=recipe["weight_decay"],
            augment=self.augment,
            identity=f"{self.question}|{recipe}|{rate}|{seed}|{self.head_only}|"
            f"{self.trainable_blocks}|{self.target.label_budget}",
            label=f"protocol paper, seed {seed}, learning rate {rate:g}",
        )
