"""The recipe of the config, turned into what the training loop follows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.attacks.folded import FoldedAttackModel
from robust_transfer.attacks.pgd import pgd
from robust_transfer.attacks.single_step import fgsm_rs, n_fgsm
from robust_transfer.attacks.trades import trades_inner
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.compiling import may_pay, quicker
from robust_transfer.training.schedules import epsilon_at, learning_rate
from robust_transfer.training.step import Recipe


def pretraining_recipe(
    recipe: dict[str, Any],
    *,
    norm: str,
    epsilon: float,
    steps: int,
    image_size: int,
    identity: str,
    label: str,
) -> Recipe:
    """Turn `pretrain.recipe` of the config into the loop's recipe.

    Args:
        recipe: the section of the config.
        norm: of the attack.
        epsilon: its size; 0: training on clean images, whatever the method.
        steps: optimiser steps in all.
        image_size: network input, pixels a side.
        identity: names recipe, data and seed: see `Recipe`.
        label: what a progress line says.
    """
    return Recipe(
        steps=steps,
        batch_size=recipe["batch_size"],
        learning_rate=lambda step: learning_rate(
            step,
            steps,
            peak=recipe["learning_rate"],
            schedule=recipe["schedule"],
            warmup=recipe["warmup"],
        ),
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        label_smoothing=recipe["label_smoothing"],
        weight_average=recipe["weight_average"],
        augment=augmentation(recipe["augmentation"], size=image_size),
        attack=TrainingAttack(recipe, norm, epsilon, steps) if epsilon > 0 else None,
        trades_beta=recipe["trades_beta"] if recipe["method"] == "trades" else 0.0,
        compile=recipe["compile"],
        select_by="validation_robust_accuracy",
        identity=identity,
        label=label,
    )


class TrainingAttack:
    """Perturbs the batches of one run, on a frozen and folded copy of its model.

    Args:
        recipe: `method` (`pgd`, `trades`, `fgsm_rs` or `nfgsm`) and the keys of that method.
        norm: of the ball.
        epsilon: its radius once the warm-up is over, above 0.
        steps: optimiser steps of the run.

    Attributes:
        fast: the copy that is attacked; None before the first step.
    """

    def __init__(self, recipe: dict[str, Any], norm: str, epsilon: float, steps: int) -> None:
        self.recipe, self.norm, self.epsilon, self.steps = recipe, norm, epsilon, steps
        self.fast: FoldedAttackModel | None = None
        self._live: nn.Module | None = None

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        step: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the images of one step, perturbed; see `Attack`."""
        recipe = self.recipe
        size = epsilon_at(step, self.steps, epsilon=self.epsilon, warmup=recipe["epsilon_warmup"])
        shared: dict[str, Any] = {"norm": self.norm, "epsilon": size, "generator": generator}
        shared["check"] = False  # augmentation ends in [0, 1]; a check would wait for the GPU
        fast = self._refreshed(model, images)
        if recipe["method"] == "nfgsm":
            noise = recipe["nfgsm_noise"]
            return n_fgsm(fast, images, labels, relative_noise=noise, **shared)
        if recipe["method"] == "fgsm_rs":
            return fgsm_rs(fast, images, labels, **shared)
        shared |= {"step_size": recipe["relative_step_size"] * size}
        shared |= {"steps": recipe["attack_steps"]}
        if recipe["method"] == "trades":
            return trades_inner(fast, images, labels, **shared)
        random_start = recipe["random_start"]
        return pgd(fast, images, labels, random_start=random_start, **shared)

    def take_over(self, other: "TrainingAttack") -> None:
        """Attack the copy that another attack made, which may be compiled, of the same model."""
        self.fast, self._live = other.fast, other._live

    def _refreshed(self, model: nn.Module, images: Tensor) -> FoldedAttackModel:
        """Return the copy that is attacked, with the weights that the model has now."""
        if self.fast is None or self._live is not model:
            # Under autocast the copy's weights would be cast at each step of the attack.
            half = torch.bfloat16 if torch.is_autocast_enabled(images.device.type) else None
            self.fast, self._live = FoldedAttackModel(model, conv_dtype=half), model
            if may_pay(self.recipe["compile"], images.device, self.steps):
                self.fast.call = compiled_where_quicker(self.fast, images)
        else:
            self.fast.refresh()
        return self.fast


def compiled_where_quicker(
    fast: FoldedAttackModel, images: Tensor, *, backend: str = "inductor"
) -> Callable[[Tensor], Tensor]:
    """Return the attacked network's forward pass, compiled where its gradients come quicker so.

    Its weights are frozen, so that the compiled backward pass computes no gradient of them.

    Args:
        fast: the copy that is attacked; its weights may change in place later.
        images: a batch as they will come.
        backend: of torch.compile.
    """

    def trial(call: Callable[[Tensor], Tensor]) -> None:
        inputs = images.detach().clone().requires_grad_(True)
        torch.autograd.grad(call(inputs).float().sum(), inputs)

    return quicker(
        fast.network.forward, trial, device=images.device, what="attack", backend=backend
    )


def stored_size(name: str, image_size: int) -> int:
    """Return the size of the images that an augmentation starts from, pixels a side.

    Args:
        name: of the augmentation. `imagenet` crops: it starts from images that are larger by a
            seventh, as 256 pixels are for a network input of 224.
        image_size: network input, pixels a side.
    """
    return round(image_size * 8 / 7) if name == "imagenet" else image_size


def passes(recipe: dict[str, Any], *, epsilon: float) -> int:
    """Count the forward passes of an image in one step of training: what a run costs.

    Args:
        recipe: `pretrain.recipe` of the config.
        epsilon: of the backbone.
    """
    if epsilon == 0:
        return 1
    by_method = {
        "pgd": recipe["attack_steps"] + 1,
        "trades": recipe["attack_steps"] + 3,  # the clean image in the attack and in the loss
        "fgsm_rs": 2,
        "nfgsm": 2,
    }
    return by_method[recipe["method"]]
