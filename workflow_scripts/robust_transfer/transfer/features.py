"""Features of a frozen backbone for the training images of a dataset, for measures of them."""

from pathlib import Path

import numpy as np
import torch

from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import whole_file
from robust_transfer.images.cache import load_cache
from robust_transfer.training.device import best_device, to_device
from robust_transfer.training.evaluation import logits_of
from robust_transfer.training.squares import squares
from robust_transfer.transfer.fixed import Features
from robust_transfer.transfer.target import frozen

#: Most training images; a mean distance over so many is known to three digits.
MOST_IMAGES = 5_000


def extract_features(
    weights: str | Path, cache_folder: str | Path, output: str | Path, *, most: int = MOST_IMAGES
) -> None:
    """Write the features of at most `most` training images, drawn with a fixed seed.

    Args:
        weights: of the backbone.
        cache_folder: of the dataset.
        output: .npz with `index` (n,) positions in the cache, `features` (n, d) float32,
            `image_size` and `backbone`.
        most: images.

    Raises:
        DataError: the backbone's features are not finite.
    """
    device = best_device()
    backbone, header = load_backbone(weights)
    cache = load_cache(cache_folder)
    index = cache.split("train")
    if len(index) > most:
        index = np.sort(np.random.default_rng(0).choice(index, most, replace=False))
    pixels = squares(cache, index, header["image_size"], torch.get_num_threads())
    images = to_device(pixels, device)
    features = logits_of(Features(frozen(backbone.to(device))), images).cpu()
    if not bool(torch.isfinite(features).all()):
        raise DataError(f"{weights}: the backbone's features are not finite: pretrain it again.")
    arrays = {
        "index": index,
        "features": features.numpy().astype(np.float32),
        "image_size": np.array(header["image_size"]),
        "backbone": np.array(header["name"]),
    }
    with whole_file(output) as beside:
        np.savez(beside, allow_pickle=False, **arrays)
