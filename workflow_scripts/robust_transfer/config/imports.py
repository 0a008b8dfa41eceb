"""Which checkpoint each imported backbone is made from."""

from pathlib import Path
from typing import Any

from robust_transfer.config.grid import expand_entry
from robust_transfer.config.pretrain import ImportedWeights, Pretrain
from robust_transfer.config.released import released_models

RELEASED, TORCHVISION = "released", "torchvision"


def is_url(origin: str) -> bool:
    """Tell an address from a path."""
    return origin.startswith(("http://", "https://", "file://"))


def imports_of(pretrain: Pretrain) -> dict[str, dict[str, Any]]:
    """Return what each imported backbone is made from.

    Args:
        pretrain: the section; every check passed.

    Returns:
        By the backbone's name: `origin` (`released`, `torchvision`, `path` or `url`), `path` or
        `url` of the checkpoint (neither for torchvision), `sha256`, `unpickle`, `mean`, `std`,
        `source_accuracy` (None: not published) and `check`.
    """
    imported = {}
    for entry in pretrain.backbones:
        if entry.weights is None:
            continue
        for backbone in expand_entry(entry, pretrain.source):
            key = (backbone.architecture, backbone.norm, backbone.epsilon)
            imported[backbone.name] = _one(entry.weights, key)
    return imported


def _one(weights: ImportedWeights, key: tuple[str, str, float]) -> dict[str, Any]:
    made: dict[str, Any] = weights.model_dump(mode="json", exclude={"folder"})
    made |= {"path": None, "url": None}
    if weights.origin == RELEASED:
        released = released_models()[key]
        if weights.folder:
            made["path"] = str(Path(weights.folder) / released.file)
        else:
            made["url"] = released.url
        if weights.source_accuracy is None:
            made["source_accuracy"] = released.source_accuracy
    elif is_url(weights.origin):
        made |= {"origin": "url", "url": weights.origin}
    elif weights.origin != TORCHVISION:
        made |= {"origin": "path", "path": weights.origin}
    return made
