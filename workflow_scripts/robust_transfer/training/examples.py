"""A few images, clean and attacked, for the report; and a few with logits, for the audit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust_transfer.attacks.pgd import pgd
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.files import whole_file
from robust_transfer.training.pixels import as_pixels


def write_examples(
    path: str | Path,
    model: Backbone,
    images: Tensor,
    labels: Tensor,
    *,
    attack: dict[str, Any],
    stands: Mapping[str, Any],
    classes: tuple[str, ...],
    probe: Tensor,
) -> None:
    """Write images before and after the attack, with what the model says of both.

    Args:
        path: an .npz file.
        model: in eval mode.
        images: (n, 3, height, width) uint8, on the model's device.
        labels: (n,) int64.
        attack: arguments of `pgd`; its `norm` and `epsilon` are written too.
        stands: `rows`, the places in the cache of all attacked images, and for each epsilon by
            name whether the model got each right, clean and attacked.
        classes: names of the classes.
        probe: (k, 3, height, width) uint8, images kept with their logits, so that an audit can
            ask the weights the same question again.
    """
    stood: dict[str, Any] = {
        f"stands {name}": np.asarray(each.cpu() if isinstance(each, Tensor) else each)
        for name, each in stands.items()
    }
    clean = as_pixels(images)
    attacked = pgd(model, clean, labels, **attack)
    with torch.inference_mode():
        said = [model(x).argmax(1).cpu().numpy() for x in (clean, attacked)]
        logits = model(as_pixels(probe)).float().cpu().numpy()
    with whole_file(path) as beside:
        np.savez(
            beside,
            clean=_as_uint8(clean),
            attacked=_as_uint8(attacked),
            perturbation=(attacked - clean).permute(0, 2, 3, 1).cpu().numpy(),
            labels=labels.cpu().numpy(),
            predicted_clean=said[0],
            predicted_attacked=said[1],
            classes=np.array(classes),
            norm=np.array(attack["norm"]),
            epsilon=np.array(attack["epsilon"]),
            probe_images=probe.permute(0, 2, 3, 1).cpu().numpy(),
            probe_logits=logits,
            **stood,
        )


def _as_uint8(images: Tensor) -> np.ndarray:
    """Round float images to grey levels: (n, height, width, 3) uint8."""
    return (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
