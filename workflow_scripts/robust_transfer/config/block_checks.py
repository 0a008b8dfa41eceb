"""No more of a network's last blocks can be trained than it has."""

from collections.abc import Iterator
from typing import Any

from robust_transfer.config.architectures import blocks_of
from robust_transfer.config.backbone_checks import read_backbones
from robust_transfer.config.problems import Problem
from robust_transfer.config.raw import items_at


def check_blocks(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield each number of trained blocks that a backbone of the study does not have.

    Networks whose number of blocks is known once they are built alone are left to the job.

    Args:
        config: may be wrong elsewhere.
    """
    if "full" not in items_at(config, "transfer", "modes"):
        return
    known = {
        each.architecture: blocks
        for _, each in read_backbones(config)
        if (blocks := blocks_of(each.architecture)) is not None
    }
    if not known:
        return
    fewest = min(known, key=lambda name: known[name])
    for place, given in enumerate(items_at(config, "transfer", "full", "trainable_blocks")):
        if isinstance(given, int) and given > known[fewest]:
            yield Problem(
                f"transfer.full.trainable_blocks[{place}]",
                f"{given}, where {fewest} has {known[fewest]} blocks",
                f"Allowed are 1 to {known[fewest]}, and all.",
            )
