"""Features of a frozen backbone: those of the images named, whatever has been done before."""

import numpy as np
import pytest
import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from robust_transfer.transfer.features import extract_features


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A backbone that was never trained, and a small cache."""
    folder = tmp_path_factory.mktemp("features")
    definition = {"name": "digits", "kind": "toy", "alphabet": "digits", "size": 32,
                  "n_train": 30, "n_test": 10, "seed": 0, "grating": 0.0}  # fmt: skip
    build_cache(definition, "native", folder / "cache", data_root=folder, on_bad_image="stop")
    backbone = make_backbone("resnet_small_w4", classes=3, image_size=32, mean=[0.5] * 3,
                             std=[0.2] * 3, seed=0).eval()  # fmt: skip
    recipe = {"architecture": "resnet_small_w4", "image_size": 32, "name": "a backbone"}
    save_backbone(folder / "weights.safetensors", backbone, recipe)
    return folder, backbone


def test_features_are_those_of_the_training_images(inputs, tmp_path):
    folder, backbone = inputs
    extract_features(folder / "weights.safetensors", folder / "cache", tmp_path / "f.npz")
    found = np.load(tmp_path / "f.npz")
    pixels = torch.tensor(load_cache(folder / "cache").images[:30]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = backbone.features(pixels).numpy()
    assert found["index"].tolist() == list(range(30))
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)
    assert (str(found["backbone"]), int(found["image_size"])) == ("a backbone", 32)


def test_of_many_images_the_same_few_are_drawn(inputs, tmp_path):
    folder, _ = inputs
    for name in ("a.npz", "b.npz"):
        extract_features(folder / "weights.safetensors", folder / "cache", tmp_path / name, most=12)
    one, two = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    assert len(one["index"]) == 12
    assert (np.diff(one["index"]) > 0).all()
    assert one["index"].tolist() == two["index"].tolist()
    assert (one["features"] == two["features"]).all()
