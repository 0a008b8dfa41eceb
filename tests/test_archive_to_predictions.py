"""Every published dataset, source or target, goes from its archive to per-image predictions."""

import json

import numpy as np
import pytest
from archives import ARCHIVES
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.config.published import published_datasets
from robust_transfer.config.transfer_recipes import cell_of
from robust_transfer.images.build import build_cache, list_dataset
from robust_transfer.images.cache import load_cache
from robust_transfer.transfer.cell import transfer_cell
from robust_transfer.transfer.predictions import load_predictions
from test_published_datasets import definition

RECIPE = {
    "penalties": [0.1], "augmented_views": 0, "augmentation": "none", "validation_fraction": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network with its initial weights: what it says of images is something of its own."""
    path = tmp_path_factory.mktemp("backbone") / "weights.safetensors"
    backbone = make_backbone(
        "resnet_small_w4", classes=3, image_size=16, mean=[0.5] * 3, std=[0.25] * 3, seed=0
    )
    about = {"name": "tried", "architecture": "resnet_small_w4", "source": "letters", "norm": "l2"}
    save_backbone(path, backbone, about | {"epsilon": 0.0, "seed": 0, "image_size": 16})
    return path


@pytest.mark.parametrize("kind", sorted(published_datasets()))
def test_from_archive_to_predictions(kind, weights, tmp_path):
    ARCHIVES[kind](tmp_path)
    listing = list_dataset(definition(kind), tmp_path)
    folder = tmp_path / "cache"
    build_cache(definition(kind), "native", folder, data_root=tmp_path, on_bad_image="stop")
    cache = load_cache(folder)
    metric = published_datasets()[kind].metric
    place = {"dataset": kind, "resolution": "native", "mode": "fixed", "protocol": "clean"}
    transfer_cell(
        weights, folder, cell_of(place | {"variant": "all"}, metric), RECIPE, seeds=[0, 1],
        predictions=[str(tmp_path / f"{seed}.npz") for seed in (0, 1)],
        records=[str(tmp_path / f"{seed}.json") for seed in (0, 1)], code="x",
    )  # fmt: skip
    for seed in (0, 1):
        said = load_predictions(tmp_path / f"{seed}.npz")
        assert said.index.tolist() == cache.split("test").tolist()
        assert said.labels.tolist() == listing.labels[listing.n_train :].tolist()
        assert said.logits.shape == (len(listing) - listing.n_train, len(listing.classes))
        assert np.ptp(said.logits) > 0
        record = json.loads((tmp_path / f"{seed}.json").read_text())
        assert (record["dataset"], record["metric"]) == (kind, metric)
        assert record["labelled_images"] == listing.n_train
