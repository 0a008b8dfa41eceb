"""There must be something to study, and enough of it for the tests that are asked for."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from robust_transfer.config.backbone_checks import read_backbones
from robust_transfer.config.problems import Problem
from robust_transfer.config.raw import items_at, value_at


def check_amount(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield empty lists that leave a study without any accuracy.

    Args:
        config: may be wrong elsewhere.
    """
    if items_at(config, "analysis", "external_accuracy"):
        return
    detects = bool(items_at(config, "detect", "datasets"))
    for section, key in (("pretrain", "backbones"), ("transfer", "datasets")):
        if value_at(config, section, key) == [] and not (detects and section == "transfer"):
            yield Problem(
                f"{section}.{key}",
                "an empty list",
                "Nothing would be measured: give at least one, or published accuracies in "
                "analysis.external_accuracy.",
            )


def check_replicates(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield a Welch test that is asked for and has a single replicate.

    A test counts pretraining seeds where a cell has at least two, transfer seeds elsewhere.

    Args:
        config: may be wrong elsewhere.
    """
    if "welch" not in items_at(config, "analysis", "tests"):
        return
    seeds = value_at(config, "transfer", "seeds")
    if not isinstance(seeds, list) or len({str(seed) for seed in seeds}) != 1:
        return  # none at all is the schema's to say
    if not items_at(config, "transfer", "datasets"):
        return
    pretrainings = Counter(
        (each.architecture, each.norm, each.epsilon) for _, each in read_backbones(config)
    )
    alone = [cell for cell, count in pretrainings.items() if count < 2]
    if alone:
        architecture, norm, epsilon = alone[0]
        yield Problem(
            "transfer.seeds",
            "one seed, where analysis.tests asks for welch",
            f"A Welch test needs at least 2 replicates a cell, and {architecture}, {norm}, "
            f"epsilon {epsilon:g} has one pretraining seed as well. Give transfer.seeds at least "
            "2 seeds, or every entry of pretrain.backbones, or remove welch from analysis.tests.",
        )


def check_export(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield an export without the protocol that it exports from.

    Args:
        config: may be wrong elsewhere.
    """
    protocols = value_at(config, "transfer", "protocols")
    wanted = value_at(config, "report", "export") is True
    if wanted and isinstance(protocols, list) and "clean" not in protocols:
        yield Problem(
            "report.export",
            "true, where transfer.protocols has no clean",
            "A model is chosen on validation and exported by protocol clean: add it, or set "
            "export: false.",
        )
