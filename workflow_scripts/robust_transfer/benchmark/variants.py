"""One training step in several ways: ours, and those of others."""

import importlib
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.benchmark.cases import CLASSES, Case
from robust_transfer.training.recipes import TrainingAttack, pretraining_recipe
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.step import TrainingStep

Step = Callable[[], object]
Attack = Callable[[nn.Module, Tensor, Tensor, Case], Tensor]
MEANING = {
    "ours": "this project's step: channels_last, folded attack, bfloat16 on a GPU",
    "robustness": "float32, contiguous; gradient by the image; the best iterate kept, at the "
    "price of one more forward pass (its default)",
    "backward": "float32, contiguous; `loss.backward()` in the attack: weight gradients too",
    "torchattacks": "float32, contiguous; the attack of the library torchattacks",
}
STEPS_OF_A_RUN = 1_000_000  # where schedules end; never reached


def reason_against(variant: str, case: Case) -> str | None:
    """Say why a variant cannot run a case; None: it can."""
    if variant == "torchattacks" and case.attack_steps:
        if case.method == "n-fgsm":
            return "torchattacks has no N-FGSM"
        if importlib.util.find_spec("torchattacks") is None:
            return "torchattacks is not installed"
    if variant in ("backward", "torchattacks") and not case.attack_steps:
        return "without an attack it is the step of `robustness`"
    return None


class Kept(dict[tuple[str, int], TrainingStep]):
    """Steps of ours by network and image size."""


def make_step(
    variant: str, case: Case, batch_size: int, device: torch.device, kept: Kept | None = None
) -> Step:
    """Build one variant of a training step, with a network, data and optimiser of its own.

    Args:
        variant: a key of `MEANING`.
        case: what is trained.
        batch_size: images a step.
        device: where.
        kept: steps of ours by network and image size, for other methods to take over what is
            compiled; this one is added.

    Returns:
        A function that takes one step and waits for nothing.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, case.image_size, case.image_size, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    images = pixels.to(device).permute(0, 3, 1, 2)
    classes = CLASSES[case.image_size]
    labels = torch.randint(0, classes, (batch_size,), generator=generator).to(device)
    model = make_backbone(
        case.network,
        classes=classes,
        image_size=case.image_size,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
        seed=0,
    ).to(device)
    if variant == "ours":
        return _ours(model, images, labels, case, Kept() if kept is None else kept)
    return _plain(variant, model, images, labels, case)


def _ours(model: nn.Module, images: Tensor, labels: Tensor, case: Case, kept: Kept) -> Step:
    before = kept.get((case.network, case.image_size))
    model = before.model if before else model
    recipe = pretraining_recipe(
        case.recipe(len(images)),
        norm="l2",
        epsilon=case.epsilon,
        steps=STEPS_OF_A_RUN,
        image_size=case.image_size,
        identity="benchmark",
        label="benchmark",
    )
    optimiser = Sgd(model.parameters(), momentum=0.9, weight_decay=1e-4)
    step = TrainingStep(model, recipe, optimiser, seed=0)
    if before:
        step.forward = before.forward
        mine, theirs = recipe.attack, before.recipe.attack
        if isinstance(mine, TrainingAttack) and isinstance(theirs, TrainingAttack):
            mine.take_over(theirs)
    if before is None or recipe.attack is not None:
        kept[case.network, case.image_size] = step
    return lambda: step(images, labels, 0)


def _plain(variant: str, model: nn.Module, images: Tensor, labels: Tensor, case: Case) -> Step:
    """Return the loop that people write: float32, contiguous, images ready as floats."""
    model = model.to(memory_format=torch.contiguous_format)
    clean = (images.float() / 255).contiguous()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    attack: Attack = {
        "robustness": _keeping_the_best,
        "backward": _with_weight_gradients,
        "torchattacks": _of_torchattacks,
    }[variant]

    def step() -> None:
        attacked = clean
        if case.attack_steps:
            model.eval()
            attacked = attack(model, clean, labels, case)
        model.train()
        optimiser.zero_grad()
        F.cross_entropy(model(attacked), labels).backward()
        optimiser.step()

    return step


def _moved(clean: Tensor, at: Tensor, gradient: Tensor, case: Case) -> Tensor:
    """Take one normalised L2 step, project and clip."""
    size = 2 / 3 * case.epsilon
    length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-10
    moved = (at + size * gradient / length - clean).renorm(p=2, dim=0, maxnorm=case.epsilon)
    return (clean + moved).clamp(0, 1)


def _keeping_the_best(model: nn.Module, clean: Tensor, labels: Tensor, case: Case) -> Tensor:
    """PGD as the library `robustness` has it by default: the iterate of the highest loss is kept.

    Source: github.com/MadryLab/robustness, attacker.py, `use_best`.
    """
    at, best, best_loss = clean, clean, torch.full(labels.shape, -1.0, device=clean.device)
    for step in range(case.attack_steps + 1):
        at = at.detach().requires_grad_(True)
        losses = F.cross_entropy(model(at), labels, reduction="none")
        with torch.no_grad():
            better = losses > best_loss
            best = torch.where(better.view(-1, 1, 1, 1), at, best)
            best_loss = torch.where(better, losses, best_loss)
        if step < case.attack_steps:
            (gradient,) = torch.autograd.grad(losses.mean(), at)
            with torch.no_grad():
                at = _moved(clean, at, gradient, case)
    return best.detach()


def _with_weight_gradients(model: nn.Module, clean: Tensor, labels: Tensor, case: Case) -> Tensor:
    """PGD by `backward`, which computes the gradient of every weight as well."""
    at = clean
    for _ in range(case.attack_steps):
        at = at.detach().requires_grad_(True)
        F.cross_entropy(model(at), labels).backward()
        assert at.grad is not None
        at = _moved(clean, at.detach(), at.grad, case)
    return at.detach()


def _of_torchattacks(model: nn.Module, clean: Tensor, labels: Tensor, case: Case) -> Tensor:
    torchattacks = importlib.import_module("torchattacks")  # optional: see `reason_against`
    size = 2 / 3 * case.epsilon
    settings = {"eps": case.epsilon, "alpha": size, "steps": case.attack_steps}
    return torchattacks.PGDL2(model, random_start=False, **settings)(clean, labels)
