"""Imported weights must be there, be the ones meant, and be for one backbone each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust_transfer.config.architectures import torchvision_architectures
from robust_transfer.config.grid import expand_entry
from robust_transfer.config.imports import RELEASED, TORCHVISION, is_url
from robust_transfer.config.pretrain import BackboneEntry, ImportedWeights
from robust_transfer.config.problems import Problem, listed
from robust_transfer.config.raw import items_at, read_section
from robust_transfer.config.released import released_models


def check_imports(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield weights that do not exist, or that several backbones would share.

    Args:
        config: may be wrong elsewhere.
    """
    for place, item in enumerate(items_at(config, "pretrain", "backbones")):
        entry = read_section(item, BackboneEntry)
        if entry and entry.weights:
            yield from _entry(f"pretrain.backbones[{place}].weights", entry, entry.weights)


def _entry(key: str, entry: BackboneEntry, weights: ImportedWeights) -> Iterator[Problem]:
    backbones = list(expand_entry(entry, "source"))
    if weights.origin == RELEASED:
        models = released_models()
        for each in backbones:
            if (each.architecture, each.norm, each.epsilon) not in models:
                known = sorted({f"{a} {n} {e:.3g}" for a, n, e in models if a == each.architecture})
                yield Problem(
                    key,
                    f"no released {each.architecture}, {each.norm}, epsilon {each.epsilon:g}",
                    f"Released of this architecture: {listed(known)}.",
                )
        if weights.folder and not Path(weights.folder).is_dir():
            yield Problem(f"{key}.folder", f"no folder '{weights.folder}'", "Correct the path.")
        return
    if weights.folder:
        yield Problem(f"{key}.folder", "a folder without `origin: released`", "Remove it.")
    if weights.origin == TORCHVISION:
        wrong = [b for b in backbones if b.epsilon or b.seed]
        if wrong or not {b.architecture for b in backbones} <= set(torchvision_architectures()):
            yield Problem(
                key,
                "torchvision's weights of a robust, own or second backbone",
                "torchvision has one standard backbone of each of its architectures: epsilon 0, "
                "seed 0.",
            )
        return
    if len(backbones) > 1:
        yield Problem(
            key,
            f"one checkpoint for {len(backbones)} backbones",
            "Give each architecture, norm, epsilon and seed its own entry.",
        )
    if is_url(weights.origin):
        if weights.sha256 is None:
            yield Problem(key, "a URL without sha256", "Say which file is meant: give its SHA-256.")
    elif not Path(weights.origin).is_file():
        yield Problem(
            f"{key}.origin",
            f"no file '{weights.origin}'",
            f"Looked for {Path(weights.origin).absolute()}. It is the path or URL of a "
            "checkpoint, `released` or `torchvision`.",
        )
