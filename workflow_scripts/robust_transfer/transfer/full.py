"""Full-network transfer, protocol clean: every weight fine-tuned for a fixed budget of steps."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.evaluation import logits_of
from robust_transfer.training.loop import Recipe, Run, fit
from robust_transfer.training.randomness import derived_seed
from robust_transfer.training.schedules import learning_rate
from robust_transfer.training.state import state_file
from robust_transfer.transfer.target import Outcome, Target

EVALUATIONS = 4  # of the validation split in a run


class Finetuning:
    """Fine-tunes with each learning rate, keeps what does best on validation, scores test once.

    A seed draws the validation split, the new head, the order and the augmentation. A budget of
    steps rather than epochs: Kolesnikov et al. 2020 (BiT, arXiv:1912.11370), section 3.3.

    Args:
        backbone: pretrained, on the device; it is copied, not changed.
        target: the dataset, on the same device.
        recipe: `transfer.full` of the config, and `validation_fraction`.
        output: beside which training states are kept until the job ends.
        question: what a training state must have been an answer to, to be gone on from.
    """

    def __init__(
        self,
        backbone: Backbone,
        target: Target,
        recipe: dict[str, Any],
        *,
        output: str | Path,
        question: str,
    ) -> None:
        self.backbone, self.target, self.recipe = backbone, target, recipe
        self.output, self.question = output, question

    def seed(self, seed: int) -> Outcome:
        """Fine-tune, choose and score with one seed."""
        target, recipe = self.target, self.recipe
        train, held_out = target.validation_split(recipe["validation_fraction"], seed)
        runs = {peak: self._run(train, held_out, peak, seed) for peak in recipe["learning_rates"]}
        best = max(runs, key=lambda peak: runs[peak][1].best_value)
        model, run = runs[best]
        model.load_state_dict(run.best)
        test = target.images[target.n_train :]
        steps = recipe["steps"] * min(recipe["batch_size"], len(train))
        evaluations = len(held_out) * len(run.history)
        return Outcome(
            logits=logits_of(model, test),
            validation_accuracy=run.best_value,
            selected=f"learning_rate={best:g}",
            images_through_network=len(runs) * (steps + evaluations) + len(test),
        )

    def _run(self, train: Tensor, held_out: Tensor, peak: float, seed: int) -> tuple[Backbone, Run]:
        """Fine-tune a copy of the backbone with one learning rate."""
        target = self.target
        model = copy.deepcopy(self.backbone).requires_grad_(True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "head"))
            model.replace_head(target.classes)

        def evaluate(model: torch.nn.Module) -> dict[str, float]:
            logits = logits_of(model, target.images[held_out])
            return {"validation_accuracy": target.validation_score(logits, held_out)}

        run = fit(
            model,
            target.images[train],
            target.labels[train],
            self._recipe(peak, seed),
            seed=seed,
            evaluate=evaluate,
            evaluate_every=max(1, self.recipe["steps"] // EVALUATIONS),
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
            identity=f"{self.question}|{recipe}|{peak}|{seed}",
            label=f"fine-tune seed {seed}, learning rate {peak:g}",
        )


def remove_states(output: str | Path) -> None:
    """Remove the training states beside an output once the job has all its results."""
    output = Path(output)
    for path in output.parent.glob(f".{output.name}.seed*.safetensors"):
        path.unlink()
