"""Each backbone is trained once: no two entries may expand to the same."""

from collections.abc import Iterator
from typing import Any

from robust_transfer.config.grid import Backbone, expand_entry
from robust_transfer.config.pretrain import BackboneEntry
from robust_transfer.config.problems import Problem
from robust_transfer.config.raw import items_at, read_section


def read_backbones(config: dict[str, Any]) -> list[tuple[int, Backbone]]:
    """Expand the entries that are right.

    Args:
        config: may be wrong elsewhere.

    Returns:
        (position of the entry, backbone).
    """
    entries = [
        (place, read_section(item, BackboneEntry))
        for place, item in enumerate(items_at(config, "pretrain", "backbones"))
    ]
    return [
        (place, backbone)
        for place, entry in entries
        if entry
        for backbone in expand_entry(entry, "source")
    ]


def check_backbones(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield pairs of entries of one backbone or name, and epsilons in grey levels.

    Args:
        config: may be wrong elsewhere.
    """
    first: dict[str, tuple[int, Backbone]] = {}
    told, far = set(), set()
    for place, backbone in read_backbones(config):
        if backbone.norm == "linf" and backbone.epsilon > 1 and place not in far:
            far.add(place)
            yield _beyond_all_images(place, backbone)
        earlier_place, earlier = first.setdefault(backbone.name, (place, backbone))
        if earlier is backbone or (earlier_place, place) in told:
            continue
        told.add((earlier_place, place))  # one message a pair, not one a backbone
        yield _same(earlier_place, earlier, place, backbone)


def _beyond_all_images(place: int, backbone: Backbone) -> Problem:
    return Problem(
        f"pretrain.backbones[{place}].epsilon",
        f"{backbone.epsilon:g} in the norm linf, where any image is within 1 of any other",
        f"Epsilon is in units of pixels in [0, 1]: for grey levels write {backbone.epsilon:g}/255.",
    )


def _same(earlier_place: int, earlier: Backbone, place: int, backbone: Backbone) -> Problem:
    words = (
        f"{backbone.architecture}, {backbone.norm}, epsilon {backbone.epsilon:g}, "
        f"seed {backbone.seed}"
    )
    key, other = f"pretrain.backbones[{place}]", f"pretrain.backbones[{earlier_place}]"
    if earlier.epsilon != backbone.epsilon:
        return Problem(
            key,
            f"epsilon {backbone.epsilon!r} and {earlier.epsilon!r} (of {other}) are the same to "
            "three digits, which is how backbones are named",
            "Keep one of the two, or choose them further apart.",
        )
    return Problem(
        key,
        f"duplicate backbone ({words}): {other} gives it too",
        "Each backbone is trained once: remove it from one of the two entries.",
    )
