"""A backbone that was never trained: what pretraining gives at all is measured against it."""

from typing import Any

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.files import write_json

SCHEMA_VERSION = 1
#: Of the inputs, a channel: it has no source whose statistics it could use.
MEAN, STD = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]
CLASSES = 2  # of a head that no transfer keeps


def initialise_backbone(
    backbone: dict[str, Any], *, image_size: int, outputs: dict[str, str]
) -> None:
    """Write a backbone with the initial weights that its seed gives.

    Args:
        backbone: `name`, `architecture`, `source` (none), `norm`, `epsilon` (0) and `seed`.
        image_size: network input, pixels a side.
        outputs: paths of `weights`, `record` and `cost`.
    """
    network = make_backbone(
        backbone["architecture"],
        classes=CLASSES,
        image_size=image_size,
        mean=MEAN,
        std=STD,
        seed=backbone["seed"],
    )
    header = backbone | {"image_size": image_size, "kept": "initial"}
    save_backbone(outputs["weights"], network, header)
    about = {key: backbone[key] for key in ("architecture", "source", "norm", "epsilon")}
    write_json(
        outputs["record"],
        {"schema_version": SCHEMA_VERSION, "backbone": backbone["name"], **about}
        | {"pretrain_seed": backbone["seed"], "kept": "initial", "selected_on": "none"}
        | {"source_accuracy": None},
    )
    write_json(
        outputs["cost"],
        {"schema_version": SCHEMA_VERSION, "seconds": 0.0, "images_through_network": 0}
        | {"peak_memory_bytes": 0, "device": "none"},
    )
