"""What one transfer is told: its recipe, out of the section `transfer`, and nothing besides."""

from collections.abc import Mapping
from typing import Any

from robust_transfer.config.grid import label_budget, trainable_blocks

#: Keys of a mode that say which transfers there are, not how one is done.
GRID = ("label_budgets", "trainable_blocks", "keep_features")
#: Kinds of dataset whose inputs the published code normalised with their own statistics (means and
#: standard deviations a channel); of all others it left as they are. Source: code of
#: Salman et al. 2020 (transfer_datasets.py) and, for CIFAR-10, MadryLab robustness 1.2.1.
PUBLISHED_STATISTICS = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "cifar100": ([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
}
UNNORMALISED = ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])


def cell_of(place: Mapping[str, str], metric: str) -> dict[str, Any]:
    """Say what a transfer is of.

    Args:
        place: `dataset`, `resolution`, `mode`, `protocol` and `variant`.
        metric: of the dataset.
    """
    budgets = {
        "label_budget": label_budget(place["variant"]),
        "trainable_blocks": trainable_blocks(place["variant"]),
    }
    return {**place, **budgets, "metric": metric}


def recipe_of(
    transfer: Mapping[str, Any], *, mode: str, protocol: str, control: bool, kind: str
) -> dict[str, Any]:
    """Say how a transfer is done.

    Args:
        transfer: the section, as builtins.
        mode: `fixed` or `full`.
        protocol: `clean` or `paper`.
        control: whether the backbone was never trained.
        kind: of the dataset: `folder`, `cifar10` and so on.
    """
    shared = {"validation_fraction": transfer["validation_fraction"]}
    if transfer["robustness"]["epsilons"]:
        shared["robustness"] = transfer["robustness"]
    if protocol == "paper":
        mean, std = PUBLISHED_STATISTICS.get(kind, UNNORMALISED)
        return {**transfer["paper"], "mean": mean, "std": std, **shared}
    recipe = {key: value for key, value in transfer[mode].items() if key not in GRID}
    if control and mode == "full":
        recipe |= transfer["from_scratch"]
    return recipe | shared
