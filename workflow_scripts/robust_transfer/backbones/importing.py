"""From somebody's checkpoint to a backbone of ours, with the record that an evaluation needs."""

import sys
from pathlib import Path
from typing import Any

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.checkpoints import Checkpoint, backbone_of, read_checkpoint
from robust_transfer.backbones.weights import load_backbone, save_backbone
from robust_transfer.errors import DataError
from robust_transfer.files import sha256, write_json

SCHEMA_VERSION = 1


def import_backbone(
    checkpoint: str | Path,
    backbone: dict[str, Any],
    weights: dict[str, Any],
    *,
    image_size: int,
    outputs: dict[str, str],
) -> None:
    """Convert a checkpoint to safetensors under the keys of the plain network.

    Args:
        checkpoint: the file.
        backbone: `name`, `architecture`, `source`, `norm`, `epsilon` and `seed`.
        weights: where it comes from, as the study says: `origin`, `path`, `url`, `sha256`,
            `unpickle`, `mean`, `std`, `source_accuracy`.
        image_size: network input, pixels a side; a backbone of another study keeps its own.
        outputs: paths of `weights`, `record` and `cost`.

    Raises:
        DataError: the checksum is wrong, or the file is not this architecture's.
    """
    digest = sha256(checkpoint)
    if weights["sha256"] and digest != weights["sha256"]:
        raise DataError(
            f"{checkpoint}: its SHA-256 is {digest}, the config says {weights['sha256']}.\n"
            "  It is another file, or a damaged one: get it again."
        )
    if not weights["sha256"] and weights["url"]:
        print(f"{checkpoint}: no checksum was published; SHA-256 {digest}", file=sys.stderr)
    network, image_size, form = _network(checkpoint, backbone["architecture"], weights, image_size)
    kept = ("origin", "path", "url", "source_accuracy")
    header = backbone | {
        "image_size": image_size,
        "kept": "imported",
        "imported": {key: weights[key] for key in kept} | {"sha256": digest, "form": form},
    }
    save_backbone(outputs["weights"], network, header)
    about = {key: backbone[key] for key in ("architecture", "source", "norm", "epsilon")}
    write_json(
        outputs["record"],
        {"schema_version": SCHEMA_VERSION, "backbone": backbone["name"], **about}
        | {"pretrain_seed": backbone["seed"], "kept": "imported", "selected_on": "validation"}
        | {"source_accuracy": weights["source_accuracy"], "imported": header["imported"]},
    )
    write_json(
        outputs["cost"],
        {"schema_version": SCHEMA_VERSION, "seconds": 0.0, "images_through_network": 0}
        | {"peak_memory_bytes": 0, "device": "imported"},
    )


def _network(
    checkpoint: str | Path, architecture: str, weights: dict[str, Any], image_size: int
) -> tuple[Backbone, int, str]:
    """Return the network, its input size, and the form that the checkpoint had."""
    if Path(checkpoint).suffix == ".safetensors":
        try:
            ours, recipe = load_backbone(checkpoint)
        except DataError:
            pass  # somebody else's safetensors
        else:
            if recipe["architecture"] != architecture:
                raise DataError(f"{checkpoint}: a {recipe['architecture']}, not a {architecture}.")
            return ours, recipe["image_size"], "this workflow"
    read: Checkpoint = read_checkpoint(checkpoint, unpickle=weights["unpickle"])
    network = backbone_of(
        read,
        architecture,
        image_size=image_size,
        mean=weights["mean"],
        std=weights["std"],
        where=checkpoint,
    )
    return network, image_size, read.form
