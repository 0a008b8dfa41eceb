"""Names of the networks that can be backbones, listed without loading torch."""

import functools
import importlib.util
import re
from pathlib import Path

OWN = ("resnet_small", "wide_resnet50_4")
SMALL = re.compile(r"resnet_small(_w[1-9][0-9]*)?")
#: Residual blocks, of networks whose number is asked for before torch is loaded.
BLOCKS = {
    "resnet18": 8,
    **dict.fromkeys(
        ("resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "wide_resnet50_4"), 16
    ),
    **dict.fromkeys(("resnet101", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2"), 33),
    "resnet152": 50,
}
SMALL_BLOCKS = 3
REGISTERED = re.compile(
    r"^@register_model\((?:(?:name=)?[\"'](?P<name>\w+)[\"'])?\)\n"
    r"(?:@.*\n)*def (?P<function>\w+)\(",
    re.MULTILINE,
)


@functools.cache
def torchvision_architectures() -> tuple[str, ...]:
    """List torchvision's classification networks by reading its sources.

    Importing torchvision takes seconds, reading its sources milliseconds.

    Returns:
        The names, sorted; none where torchvision is not installed.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return ()
    names = set()
    for source in Path(package.origin).parent.glob("models/*.py"):
        for found in REGISTERED.finditer(source.read_text(encoding="utf-8")):
            names.add(found["name"] or found["function"])
    return tuple(sorted(names))


def architectures() -> tuple[str, ...]:
    """List every architecture by name, ours first; `resnet_small_w<width>` comes on top."""
    return OWN + torchvision_architectures()


def is_architecture(name: str) -> bool:
    """Tell whether a backbone can have this architecture.

    Where torchvision is not installed (an environment for analysis alone), any plain name may be
    one of its networks.
    """
    if SMALL.fullmatch(name) or name in OWN:
        return True
    known = torchvision_architectures()
    return name in known if known else bool(re.fullmatch(r"\w+", name))


def blocks_of(name: str) -> int | None:
    """Return how many residual blocks an architecture has; None: its network must be built."""
    return SMALL_BLOCKS if SMALL.fullmatch(name) else BLOCKS.get(name)
