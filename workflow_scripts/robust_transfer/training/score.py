"""How good a backbone is on its source, clean and under attack, and a few examples of it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust_transfer.attacks.folded import fold_batch_norm
from robust_transfer.attacks.standing import standing
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import write_json
from robust_transfer.images.splits import attacked_rows
from robust_transfer.training.device import best_device
from robust_transfer.training.evaluation import right_over, rightly_classified
from robust_transfer.training.examples import write_examples
from robust_transfer.training.pool import Pool
from robust_transfer.training.source import Source, load_source

SCHEMA_VERSION = 1
#: Largest difference from a published accuracy: another resize and crop shift it by about a point.
FAR = 0.03
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
    on_device_mb: float,
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
        on_device_mb: test images up to this size lie on the device as a whole; more are streamed.
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
        on_device_mb=on_device_mb,
    )
    test = source.pool("test")
    rows, stands = _standing(backbone, source, test, header["norm"], evaluation)
    scores = {
        "source_accuracy": _share(right_over(test, rightly_classified(backbone))),
        "source_robust_accuracy": {f"{each:g}": _share(right) for each, right in stands.items()},
        "attack": evaluation["attack"],
        "attack_steps": evaluation["attack_steps"],
        "n_test": len(test),
        "n_attacked": len(rows),
    }
    scores |= against_published(header, scores["source_accuracy"], len(test), where=weights)
    write_json(record, _about(header) | _cost(cost) | scores)
    chosen = attacked_rows(np.asarray(source.cache.labels)[source.test], example_images)
    shown = torch.cat([torch.as_tensor(chosen), torch.arange(min(len(test), PROBE_IMAGES))])
    images, labels = next(test.batches([shown]))
    n = len(chosen)
    write_examples(
        examples,
        backbone,
        images[:n],
        labels[:n],
        attack=_strongest(header["norm"], evaluation),
        stands={"rows": source.test[rows]} | {f"epsilon {e:g}": v for e, v in stands.items()},
        classes=source.classes,
        probe=images[n:],
    )


def _standing(
    backbone: Backbone, source: Source, test: Pool, norm: str, evaluation: dict[str, Any]
) -> tuple[np.ndarray, dict[float, Tensor]]:
    """Attack some test images: return which, and for each epsilon whether each still stands."""
    rows = attacked_rows(np.asarray(source.cache.labels)[source.test], evaluation["images"])
    attacked = test if len(rows) == len(test) else source.pool("test", rows=rows)
    ask = partial(
        standing, backbone, attack=evaluation, norm=norm, stand_in=fold_batch_norm(backbone)
    )
    epsilons = sorted(evaluation["epsilons"])
    return rows, {each: right_over(attacked, partial(ask, epsilon=each)) for each in epsilons}


def against_published(
    header: dict[str, Any], measured: float, n_test: int, *, where: str | Path
) -> dict[str, float]:
    """Compare the accuracy of imported weights on their source with the published one.

    Args:
        header: of the weights; those that are not imported, or came without an accuracy, pass.
        measured: accuracy on the source's test split, in [0, 1].
        n_test: images that it is of.
        where: the weights, for the message.

    Returns:
        `published_accuracy` and `published_difference` (measured minus published), or nothing.

    Raises:
        DataError: they are further apart than `FAR` and the chance of few test images explain.
    """
    published = (header.get("imported") or {}).get("source_accuracy")
    if published is None:
        return {}
    difference = measured - published
    chance = 4 * (published * (1 - published) / n_test) ** 0.5
    if abs(difference) > FAR + chance:
        raise DataError(
            f"{where}: right on {measured:.1%} of the source's {n_test} test images, published is "
            f"{published:.1%}.\n  The weights were read amiss, or it is another model, or another "
            "test split: check architecture, mean and std of the import, and the source's images."
        )
    return {"published_accuracy": published, "published_difference": difference}


def _share(right: Tensor) -> float:
    return float(right.float().mean())


def _strongest(norm: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of PGD at the largest epsilon, for the images that are shown."""
    epsilon = max(evaluation["epsilons"])
    step_size = evaluation["relative_step_size"] * epsilon
    return {"norm": norm, "epsilon": epsilon, "step_size": step_size,
            "steps": evaluation["attack_steps"]}  # fmt: skip


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
