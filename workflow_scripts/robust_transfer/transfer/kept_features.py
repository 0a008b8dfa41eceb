"""Features on disk: computed by one job for all jobs that read them, and read by rows."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import whole_file, write_json
from robust_transfer.progress import progress
from robust_transfer.training.device import best_device
from robust_transfer.transfer.features import Network, Passes
from robust_transfer.transfer.target import Target, check_takes, load_target

SCHEMA_VERSION = 1
BLOCK = 8192  # images computed and written at a time


def extract_features(
    weights: str | Path,
    cache_folder: str | Path,
    output: str | Path,
    record: str | Path,
    *,
    seeds: list[int],
    augmented_views: int,
    augmentation: str,
) -> None:
    """Write the features of all images of a dataset, and of augmented views of training images.

    Args:
        weights: of the backbone.
        cache_folder: of the dataset.
        output: .npy, (rows, d) float32: every image in the order of the cache, then for each seed
            and view every training image.
        record: .json that says what the rows are and what they took.
        seeds: each draws its own views.
        augmented_views: of each training image and seed.
        augmentation: of the views.

    Raises:
        DataError: the dataset cannot be transferred to, or the backbone's features are not finite.
    """
    device, began = best_device(), time.monotonic()
    backbone, header = load_backbone(weights)
    target = load_target(
        cache_folder, image_size=header["image_size"], metric="top1", device=device
    )
    backbone = backbone.to(device)
    check_takes(backbone, target.images)
    reading = time.monotonic() - began
    network = Network(backbone, target.images, augmentation)
    n, n_train = len(target.labels), target.n_train
    views = [(seed, view) for seed in seeds for view in range(augmented_views)]
    shape = (n + len(views) * n_train, backbone.feature_dim)
    print(f"features: {shape[0]} x {shape[1]}, {4 * shape[0] * shape[1] / 2**20:.0f} MiB on disk")
    blocks = list(torch.arange(n, device=device).split(BLOCK))
    with whole_file(output) as beside:
        file = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=shape)
        steps = progress([*blocks, *views], total=len(blocks) + len(views), label="features")
        start = 0
        for what in steps:
            if isinstance(what, tuple):
                features = network.of_view(torch.arange(n_train, device=device), *what)
            else:
                features = network.of(what)
            file[start : start + len(features)] = features.cpu().numpy()
            start += len(features)
        file.flush()
    about = {key: header[key] for key in ("architecture", "image_size")}
    about |= {"backbone": header["name"], "images": n, "training_images": n_train}
    about |= {"width": shape[1], "seeds": seeds, "augmented_views": augmented_views}
    about |= {"augmentation": augmentation, "device": str(device), "reading": {"seconds": reading}}
    took = {"plain": asdict(network.plain), "views": asdict(network.views)}
    write_json(record, {"schema_version": SCHEMA_VERSION, **about, **took})


class Kept:
    """Features that another job has written; views that it has not written are computed.

    Args:
        files: the .npy file and its .json.
        target: the dataset.
        recipe: `augmented_views` and `augmentation`.
        backbone: whose features they are, on the device.

    Raises:
        DataError: the file is not of this dataset and this backbone.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        target: Target,
        recipe: dict[str, Any],
        backbone: Backbone,
    ) -> None:
        features, record = files
        self.about = json.loads(Path(record).read_text(encoding="utf-8"))
        self.file = np.load(features, mmap_mode="r", allow_pickle=False)
        self.target, self.seeds = target, self.about["seeds"]
        self.width = self.file.shape[1]
        self.plain, self.views = Passes(**self.about["plain"]), Passes(**self.about["views"])
        self.reading = 0.0 if len(target.images) else self.about["reading"]["seconds"]
        kept = len(self.seeds) * self.about["augmented_views"]
        expected = (len(target.labels) + kept * target.n_train, backbone.feature_dim)
        if self.file.shape != expected or self.about["training_images"] != target.n_train:
            raise DataError(
                f"{features}: {self.file.shape[0]} rows of {self.file.shape[1]}, expected "
                f"{expected[0]} of {expected[1]}: not the features of this dataset and backbone. "
                "Delete the file and run again."
            )
        self.network = None
        if not has_views(self.about, recipe):
            self.network = Network(backbone, target.images, recipe["augmentation"])
            self.views = self.network.views

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images."""
        return self._read(rows.cpu().numpy())

    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some images."""
        if self.network:
            return self.network.of_view(rows, seed, view)
        place = self.seeds.index(seed) * self.about["augmented_views"] + view
        start = len(self.target.labels) + place * self.target.n_train
        return self._read(start + rows.cpu().numpy())

    def _read(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.file[rows]).to(self.target.labels.device)


def has_views(about: dict[str, Any], recipe: dict[str, Any]) -> bool:
    """Tell whether a file holds the views that a recipe asks for, by the file's record."""
    return recipe["augmented_views"] in (0, about["augmented_views"])


def looks_at_images(files: Sequence[str | Path], recipe: dict[str, Any]) -> bool:
    """Tell whether a transfer needs pixels: to compute features or to attack them.

    Args:
        files: the .npy file and its .json; empty: there are none.
        recipe: of the transfer.
    """
    if not files or recipe.get("robustness"):
        return True
    return not has_views(json.loads(Path(files[1]).read_text(encoding="utf-8")), recipe)
