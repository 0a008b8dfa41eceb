"""Which part of a network is trained: all of it, its head, or its head and the last k blocks."""

from torch import nn

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import ConfigError


def train_last_blocks(backbone: Backbone, count: int) -> None:
    """Freeze all but the head and the last blocks, and what lies between them.

    A frozen part is frozen altogether: no gradient, and BatchNorm in eval mode.

    Args:
        backbone: changed in place.
        count: blocks to train, at least 1.

    Raises:
        ConfigError: the network has fewer blocks.

    Source: the number of fine-tuned blocks as an axis: Utrera et al. 2021, arXiv:2007.05869.
    """
    kept = parts_below(backbone, count)
    for part in kept:
        part.requires_grad_(False)
    backbone.keep_frozen(kept)


def parts_below(backbone: Backbone, count: int) -> list[nn.Module]:
    """Return the parts of the body before its last blocks.

    Args:
        backbone: it is not changed.
        count: of the last blocks, at least 1.

    Raises:
        ConfigError: the network has fewer blocks.
    """
    parts = _parts(backbone.body)
    starts = _blocks(parts)
    if count > len(starts):
        raise ConfigError(
            f"transfer.full.trainable_blocks: {count} is too large: this network has {len(starts)} "
            f"blocks. Allowed are 1 to {len(starts)}, and all."
        )
    return parts[: starts[-count]]


def _parts(body: nn.Module) -> list[nn.Module]:
    """List the parts of a network in order; plain sequences are taken apart."""
    parts: list[nn.Module] = []
    for child in body.children():
        parts += _parts(child) if isinstance(child, nn.Sequential) else [child]
    return parts


def _blocks(parts: list[nn.Module]) -> list[int]:
    """Return where each block begins: at a module of several layers.

    In a network without any (VGG) a block begins at each convolution or linear layer.
    """
    blocks = [k for k, part in enumerate(parts) if len(list(part.children()))]
    layers = (nn.Conv2d, nn.Linear)
    return blocks or [k for k, part in enumerate(parts) if isinstance(part, layers)]
