"""One cell of the study: a backbone on a dataset, in one mode, over all seeds."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.files import sha256, write_json
from robust_transfer.images.splits import attacked_rows
from robust_transfer.training.device import best_device, peak_memory_bytes
from robust_transfer.transfer.fixed import Probing
from robust_transfer.transfer.full import Finetuning, remove_states
from robust_transfer.transfer.kept_features import Kept, looks_at_images
from robust_transfer.transfer.paper import TEST_RESIZE, Published
from robust_transfer.transfer.predictions import Predictions, save_predictions
from robust_transfer.transfer.robustness import attack_transferred
from robust_transfer.transfer.target import Outcome, Target, check_takes, load_target

BUDGETS = ("label_budget", "trainable_blocks")
SCHEMA_VERSION = 2


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
    features: str | Path | None = None,
) -> None:
    """Adapt one backbone to one dataset with every seed, and write per-image predictions.

    Args:
        weights: of the backbone.
        cache_folder: of the dataset at the cell's resolution.
        cell: `dataset`, `resolution`, `mode`, `protocol`, `variant`, `label_budget`,
            `trainable_blocks` and `metric`.
        recipe: as `recipe_of` gives it.
        seeds: of the transfer.
        predictions: one .npz path a seed.
        records: one .json path a seed.
        code: digest of the code: a half-trained state of other code is not gone on from.
        features: features.json of the backbone for the dataset, where a job has kept them; None:
            they are computed.

    Raises:
        DataError: the dataset cannot be transferred to, or the backbone cannot take its images.
    """
    device, began = best_device(), time.monotonic()
    backbone, header = load_backbone(weights)
    backbone = backbone.to(device)
    question = f"{code}|{sha256(weights)}|{sha256(Path(cache_folder) / 'manifest.json')}"
    way = _way(
        backbone,
        header,
        cache_folder,
        cell,
        recipe,
        features=features,
        output=predictions[0],
        question=question,
    )
    identity = {k: v for k, v in header.items() if k in ("architecture", "source", "norm")}
    identity |= {"backbone": header["name"], "epsilon": header["epsilon"]}
    shared = time.monotonic() - began  # each seed is counted as if it were alone
    outcomes = iter(way.outcomes(seeds))
    for seed, path, record in zip(seeds, predictions, records, strict=True):
        start = time.monotonic()
        outcome = next(outcomes)
        save_predictions(path, _predictions(way.target, outcome))
        about = identity | {"pretrain_seed": header["seed"], "transfer_seed": seed} | cell
        seconds = shared + time.monotonic() - start + outcome.seconds_elsewhere
        said = _record(about, way.target, outcome, seconds, device)  # before the attack's memory
        write_json(record, said | _robust(way.target, outcome, recipe.get("robustness")))
        for text in _notes(way.target, outcome):
            print(f"seed {seed}: {text}", file=sys.stderr)
    remove_states(predictions[0])


class Way(Protocol):
    """A way to transfer: one outcome a seed."""

    target: Target

    def outcomes(self, seeds: list[int]) -> Iterator[Outcome]:
        """Transfer, choose and score with each seed; yield what each gave when it is there."""


def _way(
    backbone: Backbone,
    header: dict[str, Any],
    cache_folder: str | Path,
    cell: dict[str, Any],
    recipe: dict[str, Any],
    *,
    features: str | Path | None,
    output: str,
    question: str,
) -> Way:
    """Choose how to transfer: by protocol and mode."""
    few = {key: None if cell[key] == "all" else cell[key] for key in BUDGETS}
    target = load_target(
        cache_folder,
        image_size=header["image_size"],
        metric=cell["metric"],
        device=backbone.mean.device,
        label_budget=few["label_budget"],
        enlarged=TEST_RESIZE if cell["protocol"] == "paper" else 1.0,
        with_images=looks_at_images(features, recipe),
    )
    if len(target.images):
        check_takes(backbone, target.images)
    if cell["protocol"] == "paper":
        return Published(
            backbone,
            target,
            recipe,
            cache_folder=cache_folder,
            output=output,
            question=question,
            head_only=cell["mode"] == "fixed",
            trainable_blocks=few["trainable_blocks"],
        )
    if cell["mode"] == "fixed":
        kept = Kept(features, target, recipe, backbone, header["name"]) if features else None
        return Probing(backbone, target, recipe, kept)
    return Finetuning(
        backbone,
        target,
        recipe,
        output=output,
        question=question,
        trainable_blocks=few["trainable_blocks"],
    )


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
        "selected_on": outcome.selected_on,
        "labelled_images": len(outcome.split.train) + len(outcome.split.held_out),
        "held_out_images": len(outcome.split.held_out),
        "notes": _notes(target, outcome),
        "images_through_network": outcome.images_through_network,
        "seconds": seconds,
        "peak_memory_bytes": max(peak_memory_bytes(device), outcome.peak_memory_elsewhere),
        "device": str(device),
    }


def _notes(target: Target, outcome: Outcome) -> list[str]:
    """Say what a reader should know: about classes, the validation split and the features."""
    counts = torch.bincount(target.labels[outcome.split.labelled], minlength=target.classes)
    single, absent = int((counts == 1).sum()), int((counts == 0).sum())
    notes = [*outcome.notes]
    if len(outcome.logits) > 1 and len(outcome.logits.argmax(1).unique()) == 1:
        notes.append("every test image is given one and the same class")
    if absent:
        notes.append(f"{absent} classes have no training image")
    if not len(outcome.split.held_out) and outcome.selected_on == "none":
        notes.append("one image a class: nothing held out, the middle of the grid taken")
    elif single:
        notes.append(f"{single} classes have a single image: trained on, not held out")
    return notes


def _robust(
    target: Target, outcome: Outcome, attack: dict[str, Any] | None
) -> dict[str, list[dict[str, Any]]]:
    """Say how the transferred model does under attack, where that is asked for."""
    if not attack:
        return {}
    labels = target.labels[target.n_train :]
    chosen = attacked_rows(labels.cpu().numpy(), attack["images"])
    rows = torch.as_tensor(chosen, device=labels.device)
    found = attack_transferred(outcome.model(), target.test[rows], labels[rows], attack)
    return {"robustness": found}
