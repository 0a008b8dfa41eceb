"""Full-network transfer, protocol clean: every weight fine-tuned for a fixed budget of steps."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.evaluation import logits_of
from robust_transfer.training.loop import Recipe, Run, fit
from robust_transfer.training.randomness import derived_seed
from robust_transfer.training.schedules import learning_rate
from robust_transfer.training.state import state_file
from robust_transfer.transfer.blocks import train_last_blocks
from robust_transfer.transfer.rates import train_with_each
from robust_transfer.transfer.target import Outcome, Split, Target

EVALUATIONS = 4  # of the validation split in a run


class Finetuning:
    """Fine-tunes with each learning rate, keeps what does best on validation, scores test once.

    A seed draws the labelled images, the validation split, the new head, the order and the
    augmentation. A budget of steps rather than epochs, with a cosine: Kornblith et al. 2019
    (arXiv:1805.08974), which has one for all datasets. Where nothing can be held out (one labelled
    image a class) the middle learning rate of the grid is taken, and the weights after the last
    step.

    Args:
        backbone: pretrained, on the device; it is copied, not changed.
        target: the dataset, on the same device.
        recipe: `transfer.full` of the config, and `validation_fraction`.
        output: beside which training states are kept until the job ends.
        question: what a training state must have been an answer to, to be gone on from.
        trainable_blocks: how many of the last blocks are trained with the head; None: all weights.
    """

    def __init__(
        self,
        backbone: Backbone,
        target: Target,
        recipe: dict[str, Any],
        *,
        output: str | Path,
        question: str,
        trainable_blocks: int | None = None,
    ) -> None:
        self.backbone, self.target, self.recipe = backbone, target, recipe
        self.output, self.question = output, question
        self.trainable_blocks = trainable_blocks

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        """Yield what each seed gives, one after the other."""
        return map(self.seed, seeds)

    def seed(self, seed: int) -> Outcome:
        """Fine-tune, choose and score with one seed."""
        target, recipe = self.target, self.recipe
        split = target.split(recipe["validation_fraction"], seed)
        chosen = len(split.held_out) > 0
        rates = sorted(recipe["learning_rates"])
        tried = recipe["learning_rates"] if chosen else [rates[len(rates) // 2]]
        found = train_with_each(
            tried, lambda peak: self._run(split, peak, seed), key="transfer.full or from_scratch"
        )
        model, run = found.ended[found.best]
        model.load_state_dict(run.best)
        passes = found.images(min(recipe["batch_size"], len(split.train)), len(split.held_out))
        return Outcome(
            logits=logits_of(model, target.test),
            validation_accuracy=run.best_value if chosen else None,
            selected=f"learning_rate={found.best:g}",
            selected_on="validation" if chosen else "none",
            split=split,
            images_through_network=passes + len(target.test),
            model=lambda: model.eval(),
            seconds_elsewhere=found.seconds_before,
            notes=found.notes,
        )

    def _run(self, split: Split, peak: float, seed: int) -> tuple[Backbone, Run]:
        """Fine-tune a copy of the backbone with one learning rate."""
        target, steps = self.target, self.recipe["steps"]
        model = new_model(self.backbone, target.classes, seed)
        if self.trainable_blocks is not None:
            train_last_blocks(model, self.trainable_blocks)

        def evaluate(model: torch.nn.Module) -> dict[str, float]:
            if not len(split.held_out):
                return {"validation_accuracy": 0.0}
            logits = logits_of(model, target.images[split.held_out])
            return {"validation_accuracy": target.score(logits, split.held_out)}

        every = max(1, steps // EVALUATIONS) if len(split.held_out) else steps
        run = fit(
            model,
            target.images[split.train],
            target.labels[split.train],
            self._recipe(peak, seed),
            seed=seed,
            evaluate=evaluate,
            evaluate_every=every,
            state_path=state_file(self.output, f"seed{seed}-lr{peak:g}"),
        )
        return model, run

    def _recipe(self, peak: float, seed: int) -> Recipe:
        """Turn the config's recipe into the loop's: a warm-up, then a cosine."""
        recipe, steps = self.recipe, self.recipe["steps"]
        return Recipe(
            steps=steps,
            batch_size=recipe["batch_size"],
            learning_rate=lambda step: learning_rate(
                step, steps, peak=peak, schedule="cosine", warmup=recipe["warmup"]
            ),
            momentum=recipe["momentum"],
            weight_decay=recipe["weight_decay"],
            augment=augmentation(recipe["augmentation"]),
            identity=f"{self.question}|{recipe}|{peak}|{seed}|{self.trainable_blocks}|"
            f"{self.target.label_budget}",
            label=f"fine-tune seed {seed}, learning rate {peak:g}",
        )


def new_model(backbone: Backbone, classes: int, seed: int) -> Backbone:
    """Return a copy of a backbone, all of it trainable, with a new head drawn from a seed.

    Args:
        backbone: it is not changed; its head may have any size.
        classes: outputs of the new head.
        seed: of the transfer.
    """
    model = copy.deepcopy(backbone).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "head"))
        model.replace_head(classes)
    return model


def remove_states(output: str | Path) -> None:
    """Remove the training states beside an output once the job has all its results."""
    output = Path(output)
    for path in output.parent.glob(f".{output.name}.seed*.safetensors"):
        path.unlink()
