"""Backbones: normalisation inside, head apart, weights that come back bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.weights import load_backbone, save_backbone
from robust_transfer.errors import ConfigError, DataError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from workflow import start_python

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"


def backbone(architecture="resnet_small_w4", classes=7, image_size=32, seed=0):
    return make_backbone(
        architecture, classes=classes, image_size=image_size, mean=MEAN, std=STD, seed=seed
    ).eval()


def images(n=3, size=32):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_normalisation_is_inside():
    """By algebra: the body sees (x - mean) / std."""
    seen = []
    model = Backbone(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), mean=MEAN, std=STD)
    model.body.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    x = images(2, 2)
    model(x)
    for channel in range(3):
        expected = (x[:, channel] - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(seen[0][:, channel], expected)


NARROW = """
import sys
import torch
from robust_transfer.backbones.small_resnet import SmallResNet

def gradients(dtype, layout):
    torch.manual_seed(0)
    model = SmallResNet(5, width=int(sys.argv[1])).to(dtype).to(memory_format=layout).eval()
    images = torch.rand(64, 3, 32, 32).to(dtype).contiguous(memory_format=layout)
    return torch.autograd.grad(model(images).square().sum(), list(model.parameters()))

exact = gradients(torch.float64, torch.contiguous_format)
for _ in range(20):
    found = gradients(torch.float32, torch.channels_last)
    room = [torch.empty(n) for n in range(1, 2000, 20)]  # asks the heap, which a wrong write breaks
    for ours, theirs in zip(found, exact, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
"""


@pytest.mark.parametrize("width", ["4", "8", "16"])
def test_narrow_networks_learn_in_channels_last_without_breaking_the_heap(width, tmp_path):
    """A strided 1x1 convolution of few channels_last channels does (oneDNN issue 6035)."""
    process = start_python(tmp_path, NARROW, width)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def test_logits_are_the_head_of_the_features():
    model, x = backbone(), images()
    torch.testing.assert_close(model(x), model.head(model.features(x)))
    assert model.features(x).shape == (3, model.feature_dim)


@pytest.mark.parametrize("image_size", [32, 48, 64])
def test_the_small_network_costs_about_the_same_at_every_size(image_size):
    model = backbone(image_size=image_size)
    sizes = []
    model.body.stage1.register_forward_hook(lambda *_: sizes.append(_[2].shape[-1]))
    model(images(1, image_size))
    assert sizes == [16]


def test_the_seed_decides_the_first_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = backbone(seed=1), backbone(seed=1), backbone(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_replaced_head_has_the_new_classes_and_the_body_stays():
    model = backbone()
    features = model.features(images())
    model.replace_head(11)
    assert model(images()).shape == (3, 11)
    assert torch.equal(model.features(images()), features)


def test_saved_and_loaded_logits_are_equal_bit_for_bit(tmp_path):
    model = backbone()
    path = tmp_path / "weights.safetensors"
    save_backbone(path, model, {"architecture": "resnet_small_w4", "image_size": 32, "seed": 3})
    loaded, recipe = load_backbone(path)
    assert recipe["seed"] == 3
    assert recipe["classes"] == 7
    assert torch.equal(loaded(images()), model(images()))


def test_the_keys_on_disk_are_those_of_torchvision(tmp_path):
    from torchvision.models import resnet18

    path = tmp_path / "weights.safetensors"
    save_backbone(
        path, backbone("resnet18", classes=5), {"architecture": "resnet18", "image_size": 32}
    )
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    plain = resnet18(num_classes=5)
    plain.load_state_dict(state)
    x = (images() - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    loaded, _ = load_backbone(path)
    torch.testing.assert_close(plain.eval()(x), loaded(images()))


@pytest.mark.parametrize("damage", ["missing", "truncated", "no recipe", "not finite"])
def test_a_file_that_is_no_backbone_says_so(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    recipe = {"architecture": "resnet_small_w4", "image_size": 32}
    save_backbone(path, backbone(), recipe)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "no recipe":
        save_file({"weight": torch.zeros(2)}, path)
    else:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata()
        state["fc.bias"][0] = torch.nan
        save_file(state, path, metadata=header)
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        load_backbone(path)


def test_the_recipe_lies_in_the_header_as_json(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_backbone(path, backbone(), {"architecture": "resnet_small_w4", "image_size": 32})
    with safe_open(path, framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe["mean"] == pytest.approx(MEAN)
    assert recipe["std"] == pytest.approx(STD)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ConfigError, match="resnet_tiny"):
        backbone("resnet_tiny")


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(ValueError, match="no linear layer"):
        Backbone(nn.Sequential(nn.Conv2d(3, 3, 1)), mean=MEAN, std=STD)


def test_building_a_small_backbone_without_weights_imports_no_compiler():
    """It takes a job seconds, which a study of many small jobs would pay in each."""
    code = (
        "import sys; from robust_transfer.backbones.architectures import make_backbone; "
        "make_backbone('resnet_small', classes=2, image_size=32, mean=[0] * 3, std=[1] * 3, "
        "seed=None); assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SCRIPTS)}, check=True
    )
