"""Pretraining: the source's image cache in; best and last weights and a history out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.attacks.folded import fold_batch_norm
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.files import sha256, write_json
from robust_transfer.training.device import best_device, peak_memory_bytes
from robust_transfer.training.evaluation import right_over, rightly_classified
from robust_transfer.training.history import write_history
from robust_transfer.training.loop import Run, fit_pool
from robust_transfer.training.pool import Pool
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.recipes import passes, pretraining_recipe, stored_size
from robust_transfer.training.source import Source, load_source
from robust_transfer.training.state import state_file

SCHEMA_VERSION = 1
MOST_NUMBERS = 100_000_000  # of pixels and channels whose statistics are taken, in float64


def pretrain(
    cache_folder: str | Path,
    backbone: dict[str, Any],
    *,
    image_size: int,
    recipe: dict[str, Any],
    outputs: dict[str, str],
    code: str,
    on_device_mb: float,
    processes: Processes = ALONE,
) -> None:
    """Train one backbone on its source.

    Args:
        cache_folder: the source's image cache.
        backbone: `name`, `architecture`, `source`, `norm`, `epsilon` and `seed`.
        image_size: network input, pixels a side.
        recipe: `pretrain.recipe` of the config.
        outputs: paths of `weights` (best on validation), `last`, `history` and `cost`.
        code: digest of the code: a half-trained state of other code is not gone on from.
        on_device_mb: images up to this size lie on the device as a whole; more are streamed.
        processes: that train together, of which this is one; the first writes the outputs.
    """
    device = best_device()
    source = load_source(
        cache_folder,
        image_size=image_size,
        validation_fraction=recipe["validation_fraction"],
        seed=backbone["seed"],
        device=device,
        on_device_mb=on_device_mb,
    )
    manifest = sha256(Path(cache_folder) / "manifest.json")
    state = state_file(outputs["weights"])
    best, last, run = _train(
        source, backbone, recipe, state, f"{code}|{manifest}|{backbone}|{recipe}", processes
    )
    if not processes.leads:
        return
    header = backbone | {"image_size": image_size}
    save_backbone(outputs["last"], last, header | {"kept": "last"})
    save_backbone(outputs["weights"], best, header | {"kept": "best on validation"})
    write_history(outputs["history"], run.history)
    write_json(outputs["cost"], _cost(run, source, recipe, backbone, device, processes.count))
    state.unlink(missing_ok=True)


def _train(
    source: Source,
    backbone: dict[str, Any],
    recipe: dict[str, Any],
    state: Path,
    question: str,
    processes: Processes,
) -> tuple[Backbone, Backbone, Run]:
    """Return the best and the last backbone, and the run."""
    size, device = source.image_size, source.labels.device
    train = source.pool("train", size=stored_size(recipe["augmentation"], size))
    mean, std = _statistics(train)
    make = {
        "classes": int(source.labels.max()) + 1,
        "image_size": size,
        "mean": mean,
        "std": std,
        "seed": backbone["seed"],
    }
    model = make_backbone(backbone["architecture"], **make).to(device)
    steps_per_epoch = max(1, len(train) // recipe["batch_size"])
    total = recipe["epochs"] * steps_per_epoch
    run = fit_pool(
        model,
        train,
        pretraining_recipe(
            recipe,
            norm=backbone["norm"],
            epsilon=backbone["epsilon"],
            steps=total,
            identity=f"{question}|{size}",
            image_size=size,
            label=f"pretrain {backbone['name']}",
        ),
        seed=backbone["seed"],
        evaluate=_held_out(source, backbone, recipe, processes),
        evaluate_every=steps_per_epoch,
        state_path=state,
        processes=processes,
    )
    best = make_backbone(backbone["architecture"], **make).to(device)
    best.load_state_dict(run.best)
    return best.eval(), model, run


def _held_out(
    source: Source, backbone: dict[str, Any], recipe: dict[str, Any], processes: Processes
) -> Callable[[nn.Module], dict[str, float]]:
    """Measure clean and robust accuracy on the validation split, at the backbone's epsilon.

    Each process measures its share of the images.
    """
    held_out = source.pool("validation", rows=processes.rows)
    epsilon = backbone["epsilon"]
    attack = {
        "norm": backbone["norm"],
        "epsilon": epsilon,
        "step_size": recipe["relative_step_size"] * epsilon,
        "steps": recipe["attack_steps"],
    }

    def share(right: Tensor) -> float:
        counts = torch.stack([right.sum(), right.new_tensor(len(right), dtype=torch.int64)])
        found, asked = processes.total(counts).tolist()
        return found / max(1, asked)

    def evaluate(model: nn.Module) -> dict[str, float]:
        clean = robust = share(right_over(held_out, rightly_classified(model)))
        if epsilon > 0:
            fast = fold_batch_norm(model)
            stands = partial(accuracy_under_attack, model, stand_in=fast, **attack)
            robust = share(right_over(held_out, stands))
        return {"validation_accuracy": clean, "validation_robust_accuracy": robust}

    return evaluate


def _cost(
    run: Run,
    source: Source,
    recipe: dict[str, Any],
    backbone: dict[str, Any],
    device: torch.device,
    processes: int,
) -> dict[str, Any]:
    """Say what the training took."""
    steps = run.step * min(recipe["batch_size"], len(source.train))
    return {
        "schema_version": SCHEMA_VERSION,
        "seconds": run.seconds,
        "images_through_network": steps * passes(recipe, epsilon=backbone["epsilon"]),
        "peak_memory_bytes": peak_memory_bytes(device),
        "device": str(device),
        "processes": processes,
    }


def _statistics(pool: Pool) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation a channel of the first images, in units of [0, 1].

    Ten thousand are enough for three digits; of large images fewer, in bounded memory.
    """
    one, _ = next(pool.batches([torch.zeros(1, dtype=torch.int64)]))
    enough = min(len(pool), 10_000, MOST_NUMBERS // one.numel())
    images, _ = next(pool.batches([torch.arange(enough)]))
    pixels = images.double() / 255
    mean = pixels.mean((0, 2, 3))
    std = pixels.std((0, 2, 3)).clamp_min(1e-3)  # a constant channel must not divide by 0
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()]
