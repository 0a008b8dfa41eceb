"""What tests of detection share: a backbone that looks pretrained, toy scenes, a recipe."""

import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.detection.models import build_detector
from robust_transfer.detection.training import train_detector
from robust_transfer.scenes.build import build_scene_cache
from robust_transfer.scenes.cache import load_scene_cache
from torch import nn

CPU = torch.device("cpu")
SETTINGS = dict(
    train_sizes=[64],
    test_size=64,
    max_size=128,
    trainable_stages=5,
    batch_norm="frozen",
    score_threshold=0.05,
    detections_per_image=10,
    seed=0,
)
RECIPE = dict(
    steps=5,
    batch_size=4,
    learning_rate=0.08,
    warmup_steps=2,
    decay_at=[2 / 3, 8 / 9],
    momentum=0.9,
    weight_decay=1e-4,
    gradient_clip=10.0,
    flip=True,
)
SCENES = {"name": "scenes", "kind": "toy_scenes", "alphabet": "letters", "size": 64, "objects": 2,
          "object_size": [18, 28], "n_train": 10, "n_test": 4, "seed": 0, "grating": 0}  # fmt: skip


def toy_scenes(folder):
    build_scene_cache(SCENES, data_root=folder, on_bad_image="stop", output=folder)
    return load_scene_cache(folder)


def pretrained(architecture, image_size=32):
    """A backbone whose BatchNorm statistics and weights are not those of a fresh one."""
    backbone = make_backbone(architecture, classes=2, image_size=image_size, seed=1,
                             mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25])  # fmt: skip
    generator = torch.Generator().manual_seed(2)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.add_(0.1 * torch.randn(len(tensor), generator=generator))
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return backbone.eval()


def detector(cache, architecture="resnet_small_w4", model="faster_rcnn_small", **changes):
    settings = SETTINGS | {"classes": len(cache.classes)} | changes
    return build_detector(pretrained(architecture), model=model, **settings)


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.items())


def train(built, cache, path, *, seed=3, positions=None, after_step=None, **changes):
    positions = cache.split("train") if positions is None else positions
    return train_detector(built, cache, positions, RECIPE | changes, seed=seed, device=CPU,
                          state_path=path / "state.safetensors", after_step=after_step)  # fmt: skip
