"""Small things to transfer: a dataset's cache, a backbone on disk, a target made of tensors."""

import json
from pathlib import Path

import numpy as np
import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.images.build import build_cache
from robust_transfer.transfer.cell import transfer_cell
from robust_transfer.transfer.fixed import Probing
from robust_transfer.transfer.target import Target

TOY = {"name": "digits", "kind": "toy", "alphabet": "digits", "size": 32, "n_train": 80,
       "n_test": 40, "seed": 0, "grating": 0.0}  # fmt: skip
FIXED = {"penalties": [1e-3, 1e-2, 1e-1], "augmented_views": 1, "augmentation": "shift",
         "validation_fraction": 0.2}  # fmt: skip
FULL = {"steps": 6, "batch_size": 16, "learning_rates": [0.01, 0.1], "warmup": 0.2,
        "momentum": 0.9, "weight_decay": 5e-4, "augmentation": "shift",
        "validation_fraction": 0.2}  # fmt: skip
PAPER = {"epochs": 4, "decay_every": 2, "decay": 0.1, "batch_size": 16,
         "learning_rates": [0.01, 0.001], "momentum": 0.9, "weight_decay": 5e-4,
         "evaluate_every": 1, "select_on": "validation", "mean": [0.0] * 3, "std": [1.0] * 3,
         "validation_fraction": 0.2}  # fmt: skip


def network(architecture="resnet_small_w4", classes=7, image_size=32, seed=0):
    """A backbone that was never trained, in eval mode."""
    return make_backbone(architecture, classes=classes, image_size=image_size, mean=[0.5] * 3,
                         std=[0.25] * 3, seed=seed).eval()  # fmt: skip


def write_network(folder, backbone=None, **changes):
    """A backbone on disk, with the header that a transfer reads; None: the above."""
    header = {"architecture": "resnet_small_w4", "image_size": 32, "name": "a backbone",
              "source": "letters", "norm": "l2", "epsilon": 0.25, "seed": 0} | changes  # fmt: skip
    made = backbone or network(header["architecture"], image_size=header["image_size"])
    save_backbone(folder / "weights.safetensors", made, header)
    return folder / "weights.safetensors"


def write_cache(folder, **changes):
    """The cache of a toy dataset."""
    build_cache(TOY | changes, "native", folder, data_root=folder, on_bad_image="stop")
    return folder


def cell(**changes):
    """What a cell of the study says of itself."""
    return {"dataset": "digits", "resolution": "native", "mode": "fixed", "protocol": "clean",
            "variant": "all", "label_budget": "all", "trainable_blocks": "all",
            "metric": "top1"} | changes  # fmt: skip


def run_cell(folder, name, recipe, what, seeds=(0,)):
    """A whole cell, from files to files; return predictions and records of its seeds."""
    homes = [folder / name / f"seed{seed}" for seed in seeds]
    predictions = [str(home / "predictions.npz") for home in homes]
    records = [str(home / "transfer.json") for home in homes]
    transfer_cell(
        folder / "weights.safetensors", folder / "cache", what, recipe, seeds=list(seeds),
        predictions=predictions, records=records, code="code",
    )  # fmt: skip
    return predictions, [json.loads(Path(path).read_text()) for path in records]


def target(labels, n_test=10, classes=None, size=32, seed=0, spread=60, **changes):
    """Images whose colour tells the class, somewhat; training labels as given."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    classes = classes or int(labels.max()) + 1
    every = np.concatenate([labels, rng.integers(classes, size=n_test)])
    base = rng.integers(0, 256, (classes, 3, 1, 1))[every]
    noise = rng.integers(-spread, spread + 1, (len(every), 3, size, size))
    images = torch.tensor(np.clip(base + noise, 0, 255).astype(np.uint8))
    return Target(images=images.contiguous(memory_format=torch.channels_last),
                  labels=torch.tensor(every), n_train=len(labels), classes=classes,
                  metric="top1", **changes)  # fmt: skip


def probed(backbone, data, recipe, seed):
    """What fixed features give with one seed."""
    (outcome,) = Probing(backbone, data, recipe).outcomes([seed])
    return outcome
