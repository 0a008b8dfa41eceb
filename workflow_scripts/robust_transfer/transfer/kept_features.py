"""Features on disk: computed by one job for all jobs that read them, and read by rows."""

import hashlib
import io
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import whole_file, write_json
from robust_transfer.training.device import best_device, peak_memory_bytes
from robust_transfer.transfer.features import Network, Passes, in_blocks
from robust_transfer.transfer.target import Target, check_takes, load_target

SCHEMA_VERSION = 1
ANEW = "These are not the features that are asked for: delete the file and run again."


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
    device = best_device()
    backbone, header = load_backbone(weights)
    began = time.monotonic()
    target = load_target(
        cache_folder, image_size=header["image_size"], metric="top1", device=device
    )
    reading = time.monotonic() - began
    backbone = backbone.to(device)
    check_takes(backbone, target.images)
    network = Network(backbone, target, augmentation)
    n, n_train = len(target.labels), target.n_train
    views = [(seed, view) for seed in seeds for view in range(augmented_views)]
    shape = (n + len(views) * n_train, backbone.feature_dim)
    mib = 4 * shape[0] * shape[1] / 2**20
    print(f"features: {shape[0]} x {shape[1]}: {mib:.0f} MiB on disk", file=sys.stderr)
    everything, training = (torch.arange(end, device=device) for end in (n, n_train))
    blocks = in_blocks(network, everything, [(training, *view) for view in views])
    about = {"sha256": _write(output, shape, blocks), "backbone": header["name"]}
    about |= {"image_size": header["image_size"], "images": n, "training_images": n_train}
    about |= {"width": shape[1], "seeds": seeds, "augmented_views": augmented_views}
    about |= {"augmentation": augmentation, "device": str(device), "reading": {"seconds": reading}}
    about |= {"plain": asdict(network.plain), "views": asdict(network.views)}
    about |= {"peak_memory_bytes": peak_memory_bytes(device)}
    write_json(record, {"schema_version": SCHEMA_VERSION, **about})


def _write(output: str | Path, shape: tuple[int, int], blocks: Iterable[Tensor]) -> str:
    """Write blocks of rows as one .npy, whole or not at all; return its SHA-256.

    Not through a memory map: on a full disk that would end the process without a word.
    """
    digest = hashlib.sha256()
    form = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with whole_file(output) as beside, beside.open("wb") as file:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, form)
        parts = (block.cpu().numpy().astype("<f4", copy=False).tobytes() for block in blocks)
        for part in chain([header.getvalue()], parts):
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


class Kept:
    """Features that another job has written; views that it has not written are computed.

    Args:
        record: features.json; the features lie beside it.
        target: the dataset.
        recipe: `augmented_views` and `augmentation`.
        backbone: whose features they are, on the device.
        name: of the backbone.

    Raises:
        DataError: the file is not of this dataset and this backbone.
    """

    def __init__(
        self,
        record: str | Path,
        target: Target,
        recipe: dict[str, Any],
        backbone: Backbone,
        name: str,
    ) -> None:
        about, _ = read_features(record)
        self.about, self.record, self.target = about, record, target
        self.width, self.peak_memory_bytes = backbone.feature_dim, about["peak_memory_bytes"]
        self.plain, self.views = Passes(**about["plain"]), Passes(**about["views"])
        self.reading = 0.0 if len(target.images) else about["reading"]["seconds"]
        expected = {"backbone": name, "width": self.width, "images": len(target.labels)}
        expected |= {"training_images": target.n_train}
        for key, value in expected.items():
            if about[key] != value:
                raise DataError(f"{record}, {key}: {about[key]}, expected {value}. {ANEW}")
        self.network = None
        if not has_views(about, recipe):
            self.network = Network(backbone, target, recipe["augmentation"])
            self.views = self.network.views

    def of(self, rows: Tensor) -> Tensor:
        """Return the (n, d) float32 features of images."""
        return self._read(rows.cpu().numpy())

    def of_view(self, rows: Tensor, seed: int, view: int) -> Tensor:
        """Return the (n, d) float32 features of an augmented copy of each of some images.

        Raises:
            DataError: the file has no views of this seed.
        """
        if self.network:
            return self.network.of_view(rows, seed, view)
        seeds = self.about["seeds"]
        if seed not in seeds:
            raise DataError(f"features.json, seeds: {seeds}, expected {seed} among them. {ANEW}")
        place = seeds.index(seed) * self.about["augmented_views"] + view
        start = len(self.target.labels) + place * self.target.n_train
        return self._read(start + rows.cpu().numpy())

    def _read(self, rows: np.ndarray) -> Tensor:
        _, file = read_features(self.record)  # opened anew: a map keeps all that it has read
        return torch.from_numpy(file[rows]).to(self.target.labels.device)


def read_features(record: str | Path) -> tuple[dict[str, Any], np.ndarray]:
    """Read what a file of features holds, and open it, memory-mapped.

    Args:
        record: features.json; the features lie beside it.

    Raises:
        DataError: there are none, or the file is not what its record says.
    """
    file = Path(record).with_suffix(".npy")
    if not file.is_file():
        raise DataError(f"{file}: no such file. Delete {record} and run again.")
    about = json.loads(Path(record).read_text(encoding="utf-8"))
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    views = len(about["seeds"]) * about["augmented_views"]
    expected = (about["images"] + views * about["training_images"], about["width"])
    if array.shape != expected:
        raise DataError(f"{file}: {array.shape}, expected {expected}. {ANEW}")
    return about, array


def has_views(about: dict[str, Any], recipe: dict[str, Any]) -> bool:
    """Tell whether a file holds the views that a recipe asks for, by the file's record."""
    keys = ("augmented_views", "augmentation")
    return not recipe["augmented_views"] or all(about[key] == recipe[key] for key in keys)


def looks_at_images(record: str | Path | None, recipe: dict[str, Any]) -> bool:
    """Tell whether a transfer needs pixels: to compute features or to attack them.

    Args:
        record: features.json, where there is one.
        recipe: of the transfer.
    """
    if record is None or recipe.get("robustness"):
        return True
    return not has_views(json.loads(Path(record).read_text(encoding="utf-8")), recipe)
