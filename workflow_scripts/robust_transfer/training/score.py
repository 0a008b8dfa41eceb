"""How good a backbone is on its source, clean and under attack, and a few examples of it."""

import json
from pathlib import Path
from typing import Any

from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.files import write_json
from robust_transfer.training.device import best_device
from robust_transfer.training.evaluation import accuracy
from robust_transfer.training.examples import write_examples
from robust_transfer.training.source import load_source

SCHEMA_VERSION = 1
PROBE_IMAGES = 4  # test images kept with their logits: an audit asks the weights again
COSTS = ("seconds", "images_through_network", "peak_memory_bytes", "device")


def evaluate_backbone(
    weights: str | Path,
    cost: str | Path,
    cache_folder: str | Path,
    *,
    evaluation: dict[str, Any],
    example_images: int,
    record: str | Path,
    examples: str | Path,
) -> None:
    """Score a backbone on its source's test split, once, and keep some attacked images.

    Args:
        weights: of the backbone.
        cost: what its training took (.json).
        cache_folder: the source's image cache.
        evaluation: `pretrain.evaluation` of the config.
        example_images: test images to show before and after the strongest attack.
        record: where the accuracies go (.json).
        examples: where the images go (.npz).
    """
    device = best_device()
    backbone, header = load_backbone(weights)
    backbone = backbone.to(device)
    source = load_source(
        cache_folder,
        image_size=header["image_size"],
        validation_fraction=0,
        seed=0,
        device=device,
    )
    images, labels = source.split("test")
    n = len(labels) if evaluation["images"] == "all" else min(evaluation["images"], len(labels))
    attacks = _attacks(header["norm"], evaluation)
    robust = {
        name: float(
            accuracy_under_attack(backbone, images[:n], labels[:n], **attack).float().mean()
        )
        for name, attack in attacks.items()
    }
    write_json(
        record,
        _about(header)
        | _cost(cost)
        | {
            "source_accuracy": accuracy(backbone, images, labels),
            "source_robust_accuracy": robust,
            "n_test": len(labels),
            "n_attacked": n,
        },
    )
    write_examples(
        examples,
        backbone,
        images[:example_images],
        labels[:example_images],
        attack=list(attacks.values())[-1],
        classes=source.classes,
        probe=images[:PROBE_IMAGES],
    )


def _attacks(norm: str, evaluation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the arguments of PGD at each epsilon, weakest first."""
    return {
        f"{epsilon:g}": {
            "norm": norm,
            "epsilon": epsilon,
            "step_size": evaluation["relative_step_size"] * epsilon,
            "steps": evaluation["attack_steps"],
        }
        for epsilon in sorted(evaluation["epsilons"])
    }


def _about(header: dict[str, Any]) -> dict[str, Any]:
    """Say which backbone it is and what its training took."""
    return {
        "schema_version": SCHEMA_VERSION,
        "backbone": header["name"],
        **{key: header[key] for key in ("architecture", "source", "norm", "epsilon")},
        "pretrain_seed": header["seed"],
        "kept": header["kept"],
        "selected_on": "validation",
    }


def _cost(path: str | Path) -> dict[str, Any]:
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    return {key: record[key] for key in COSTS}
