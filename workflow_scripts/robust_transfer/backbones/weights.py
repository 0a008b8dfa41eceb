"""Weights on disk: safetensors under the network's own keys, the recipe in the header."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.files import whole_file


def save_backbone(path: str | Path, backbone: Backbone, recipe: dict[str, Any]) -> None:
    """Write a backbone, whole or not at all.

    Args:
        path: a `.safetensors` file.
        backbone: what to write; its tensors keep the keys of the original network, so that
            plain torchvision can load them.
        recipe: builtins; must hold `architecture` and `image_size`. Classes, mean and std are
            added here.
    """
    header = recipe | {
        "classes": backbone.head.out_features,
        "mean": backbone.mean.flatten().tolist(),
        "std": backbone.std.flatten().tolist(),
    }
    state = {
        name: value.detach().cpu().contiguous()  # the format knows no strides
        for name, value in backbone.network_state().items()
    }
    with whole_file(path) as beside:
        save_file(state, beside, metadata={"recipe": json.dumps(header, sort_keys=True)})


def load_backbone(path: str | Path) -> tuple[Backbone, dict[str, Any]]:
    """Read what `save_backbone` wrote.

    Returns:
        The backbone, on the CPU, in eval mode, and its recipe.

    Raises:
        DataError: the file is missing, damaged, or not one of ours.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            recipe = json.loads((file.metadata() or {})["recipe"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(
            f"{path}: not a backbone of this workflow ({error}). Expected a safetensors file with "
            "a recipe in its header; delete it to have it made again."
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise DataError(f"{path}: weights are not finite; delete the file to train again.")
    backbone = make_backbone(
        recipe["architecture"],
        classes=recipe["classes"],
        image_size=recipe["image_size"],
        mean=recipe["mean"],
        std=recipe["std"],
        seed=None,
    )
    backbone.load_network_state(state)
    return backbone.eval(), recipe
