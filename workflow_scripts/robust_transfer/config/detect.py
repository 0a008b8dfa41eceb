"""Section `detect`: detection and instance segmentation from the study's backbones."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from robust_transfer.config.grid import Backbone
from robust_transfer.config.scenes import Detector, SceneDataset
from robust_transfer.config.values import (
    Count,
    CountOrZero,
    NonNegative,
    OneOf,
    Positive,
    ProperShare,
    Section,
    Seed,
    Share,
    ShareBelowOne,
    Unique,
)

DetectControl = Annotated[
    str, OneOf({"random_backbone": "the same detector on a network that was never pretrained"})
]
BatchNorm = Annotated[
    str,
    OneOf(
        {
            "frozen": "statistics and weights stay those of pretraining, as the field does",
            "train": "statistics and weights are trained with the detector",
        }
    ),
]


class DetectRecipe(Section):
    """How a detector is trained: the field's 1x schedule where the defaults are kept."""

    steps: Count = Field(description="optimiser steps")
    batch_size: Count = Field(description="images a step, all devices together")
    learning_rate: Positive = Field(
        description="for 16 images a step; it grows with batch_size in proportion"
    )
    warmup_steps: CountOrZero = Field(description="steps in which the learning rate rises")
    decay_at: list[Share] = Field(description="shares of the steps after which it falls tenfold")
    momentum: ShareBelowOne = Field(description="of SGD")
    weight_decay: NonNegative = Field(description="L2 penalty, as SGD's weight decay")
    gradient_clip: NonNegative = Field(description="largest L2 norm of the gradient; 0: no limit")
    flip: bool = Field(description="mirror half of the images, boxes and masks with them")


class Detect(Section):
    """The detectors of the study."""

    datasets: list[SceneDataset] = Field(description="sets of images with boxes, maybe masks")
    detectors: Annotated[list[Detector], Unique] = Field(
        min_length=1, description="which detectors"
    )
    seeds: Annotated[list[Seed], Unique] = Field(
        min_length=1, description="each draws its own heads and order of images"
    )
    controls: Annotated[list[DetectControl], Unique] = Field(
        description="references without any pretraining; no test counts them"
    )
    train_sizes: Annotated[list[Count], Unique] = Field(
        min_length=1, description="shorter sides in training, pixels; each image draws one"
    )
    test_size: Count = Field(description="shorter side in testing, pixels")
    max_size: Count = Field(description="longest side in training and testing, pixels")
    trainable_stages: Annotated[CountOrZero, Field(le=5)] = Field(
        description="stages of the backbone that are trained, counted from the last"
    )
    batch_norm: BatchNorm = Field(description="of the backbone")
    score_threshold: ProperShare = Field(description="detections below this score are dropped")
    detections_per_image: Count = Field(description="the most that are kept, the best ones")
    resamples: Count = Field(description="bootstrap resamples of the test images")
    recipe: DetectRecipe = Field(description="how detectors are trained")


@dataclass(frozen=True, slots=True)
class DetectorCell:
    """One backbone under one detector on one dataset; every seed repeats it.

    Attributes:
        backbone: what the detector is built on.
        dataset: name of the scenes.
        detector: name of the detector.
    """

    backbone: Backbone
    dataset: str
    detector: str


def detector_cells(
    detect: Detect, backbones: tuple[Backbone, ...], untrained: tuple[Backbone, ...]
) -> tuple[DetectorCell, ...]:
    """Combine backbones, datasets and detectors; then the controls.

    Args:
        detect: the section.
        backbones: of the study.
        untrained: networks that were never pretrained, one an architecture and seed.
    """
    bodies = (*backbones, *(untrained if detect.controls else ()))
    return tuple(
        DetectorCell(backbone, dataset.name, detector)
        for backbone, dataset in product(bodies, detect.datasets)
        for detector in dataset.detectors or detect.detectors
    )


def detector_recipe(
    detect: dict[str, Any], dataset: dict[str, Any], detector: str
) -> dict[str, Any]:
    """Return what a detector's weights and detections depend on, beside backbone and scenes.

    Args:
        detect: the section, builtins only.
        dataset: the definition of the scenes, likewise.
        detector: name of the detector.
    """
    kept = (
        "train_sizes", "test_size", "max_size", "trainable_stages", "batch_norm",
        "score_threshold", "detections_per_image",
    )  # fmt: skip
    steps = {"steps": dataset["steps"] or detect["recipe"]["steps"]}
    return {"detector": detector, "built": {key: detect[key] for key in kept},
            "recipe": detect["recipe"] | steps}  # fmt: skip
