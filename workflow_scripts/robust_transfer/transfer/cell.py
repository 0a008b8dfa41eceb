"""One cell of the study: a backbone on a dataset, in one mode, over all seeds."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robust_transfer.backbones.weights import load_backbone
from robust_transfer.files import sha256, write_json
from robust_transfer.training.device import best_device, peak_memory_bytes
from robust_transfer.transfer.fixed import Probing
from robust_transfer.transfer.full import Finetuning, remove_states
from robust_transfer.transfer.predictions import Predictions, save_predictions
from robust_transfer.transfer.target import Outcome, Target, load_target

SCHEMA_VERSION = 1


def transfer_cell(
    weights: str | Path,
    cache_folder: str | Path,
    cell: dict[str, Any],
    recipe: dict[str, Any],
    *,
    seeds: list[int],
    predictions: list[str],
    records: list[str],
    code: str,
) -> None:
    """Adapt one backbone to one dataset with every seed, and write per-image predictions.

    Args:
        weights: of the backbone.
        cache_folder: of the dataset at the cell's resolution.
        cell: `dataset`, `resolution`, `mode`, `protocol` and `metric`.
        recipe: the mode's recipe of the config, and `validation_fraction`.
        seeds: of the transfer.
        predictions: one .npz path a seed.
        records: one .json path a seed.
        code: digest of the code: a half-trained state of other code is not gone on from.
    """
    device = best_device()
    backbone, header = load_backbone(weights)
    target = load_target(
        cache_folder, image_size=header["image_size"], metric=cell["metric"], device=device
    )
    backbone = backbone.to(device)
    run: Callable[[int], Outcome]
    if cell["mode"] == "fixed":
        run = Probing(backbone, target, recipe).seed
    else:
        question = f"{code}|{sha256(weights)}|{sha256(Path(cache_folder) / 'manifest.json')}"
        run = Finetuning(backbone, target, recipe, output=predictions[0], question=question).seed
    identity = {k: v for k, v in header.items() if k in ("architecture", "source", "norm")}
    identity |= {"backbone": header["name"], "epsilon": header["epsilon"]}
    for seed, path, record in zip(seeds, predictions, records, strict=True):
        start = time.monotonic()
        outcome = run(seed)
        save_predictions(path, _predictions(target, outcome))
        about = identity | {"pretrain_seed": header["seed"], "transfer_seed": seed} | cell
        write_json(record, _record(about, target, outcome, time.monotonic() - start, device))
    remove_states(predictions[0])


def _predictions(target: Target, outcome: Outcome) -> Predictions:
    n = len(target.labels)
    return Predictions(
        index=np.arange(target.n_train, n),
        labels=target.labels[target.n_train :].cpu().numpy(),
        logits=outcome.logits.float().cpu().numpy(),
    )


def _record(
    about: dict[str, Any], target: Target, outcome: Outcome, seconds: float, device: torch.device
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        **about,
        "classes": target.classes,
        "validation_accuracy": outcome.validation_accuracy,
        "selected": outcome.selected,
        "selected_on": "validation",
        "images_through_network": outcome.images_through_network,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes(device),
        "device": str(device),
    }
