"""What tests of detection share: a backbone that looks pretrained, toy scenes, a recipe."""

import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.scenes.build import build_scene_cache
from robust_transfer.scenes.cache import load_scene_cache
from torch import nn

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
