"""One detector of the study: a backbone, a dataset of scenes, a detector and a seed."""

import time
from pathlib import Path
from typing import Any

import torch

from robust_transfer.backbones.weights import load_backbone
from robust_transfer.detection.detections import save_detections
from robust_transfer.detection.models import build_detector
from robust_transfer.detection.predict import detect
from robust_transfer.detection.training import train_detector
from robust_transfer.files import sha256, write_json
from robust_transfer.scenes.cache import load_scene_cache
from robust_transfer.training.device import best_device, peak_memory_bytes
from robust_transfer.training.history import write_history
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.state import state_file
from robust_transfer.training.torchrun import run_on

SCHEMA_VERSION = 1


def train_cell(
    weights: str,
    scenes: str,
    *,
    detector: str,
    built: dict[str, Any],
    recipe: dict[str, Any],
    dataset: str,
    seed: int,
    outputs: dict[str, str],
    code: str,
    processes: Processes = ALONE,
) -> None:
    """Train one detector, and store what it finds in every test image.

    Args:
        weights: of the backbone.
        scenes: folder of the cache.
        detector: its name, one of `DETECTORS`.
        built: what `build_detector` takes beside backbone, model, classes and seed.
        recipe: `detect.recipe` of the config.
        dataset: its name.
        seed: of the heads and of all that training draws.
        outputs: paths of `detections`, `history` and `about`.
        code: digest of the code: a half-trained state of other code is not gone on from.
        processes: that train together, of which this is one; the first detects and writes.

    Raises:
        DataError: the scenes cannot be trained on.
        ConfigError: the backbone is of a family without stages.
    """
    device, cache = best_device(), load_scene_cache(scenes)
    backbone, header = load_backbone(weights)
    model = build_detector(backbone, model=detector, classes=len(cache.classes), seed=seed, **built)
    state, start = state_file(outputs["detections"]), time.monotonic()
    history = train_detector(
        model,
        cache,
        cache.split("train"),
        recipe,
        seed=seed,
        state_path=state,
        device=device,
        question=f"{code}|{sha256(weights)}",
        label=f"{detector} on {header['name']}, seed {seed}",
        processes=processes,
    )
    if not processes.leads:
        return
    found = detect(model, cache, cache.split("test"))
    save_detections(outputs["detections"], found)
    write_history(outputs["history"], history)
    seen = recipe["steps"] * min(recipe["batch_size"], cache.n_train) + len(found.scored)
    about = {"dataset": dataset, "detector": detector, "transfer_seed": seed}
    about |= {"classes": len(cache.classes)} | _backbone(header)
    cost = _cost(start, seen, device, processes)
    write_json(outputs["about"], {"schema_version": SCHEMA_VERSION} | about | cost)
    state.unlink(missing_ok=True)


def _cost(start: float, images: int, device: torch.device, processes: Processes) -> dict[str, Any]:
    """Say what the detector took."""
    return {
        "seconds": time.monotonic() - start,
        "images_through_network": images,
        "peak_memory_bytes": peak_memory_bytes(device),
        "device": str(device),
        "processes": processes.count,
    }


def _backbone(header: dict[str, Any]) -> dict[str, Any]:
    """Say what the detector stands on, as a transfer's record does."""
    kept = {k: v for k, v in header.items() if k in ("architecture", "source", "norm", "epsilon")}
    return kept | {"backbone": header["name"], "pretrain_seed": header["seed"]}


def train_cell_on(
    gpus: int, weights: str, scenes: str | Path, *, outputs: dict[str, str], **settings: Any
) -> None:
    """Train one detector, with one process a GPU where there are several.

    Args:
        gpus: that the job was given.
        weights: of the backbone.
        scenes: folder of the cache.
        outputs: as `train_cell` takes them.
        **settings: its other arguments.

    Raises:
        ProcessFailedError: fewer GPUs are there, or a process failed; it has said why.
    """
    run_on(
        gpus,
        train_cell,
        weights=str(Path(weights).absolute()),
        scenes=str(Path(scenes).absolute()),
        outputs={name: str(Path(path).absolute()) for name, path in outputs.items()},
        **settings,
    )
