"""Datasets of scenes: images whose objects have boxes, and maybe masks."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from robust_transfer.config.data import Alphabet
from robust_transfer.config.values import (
    Count,
    Name,
    NonNegative,
    OneOf,
    ProperShare,
    Section,
    Seed,
    Unique,
)

#: Longer side, pixels, to which images are reduced once, boxes and masks with them.
MaxSide = Annotated[
    Count | None, Field(description="larger images are reduced to this longer side, pixels")
]


def _rising(given: list[int]) -> list[int]:
    """Refuse what is no smallest and largest size."""
    if len(given) != 2 or given[0] > given[1]:
        raise PydanticCustomError("range", "two sizes, the smaller one first")
    return given


SizeRange = Annotated[list[Count], AfterValidator(_rising)]


Detector = Annotated[
    str,
    OneOf(
        {
            "faster_rcnn": "Faster R-CNN with FPN: boxes in two stages",
            "retinanet": "RetinaNet: boxes in one stage",
            "mask_rcnn": "Mask R-CNN with FPN: boxes and masks",
            "faster_rcnn_small": "Faster R-CNN, narrow, for scenes of about 100 pixels",
            "mask_rcnn_small": "Mask R-CNN, narrow, for scenes of about 100 pixels",
        }
    ),
]
#: Detectors that predict masks.
WITH_MASKS = ("mask_rcnn", "mask_rcnn_small")


class Scenes(Section):
    """What every dataset of scenes has."""

    name: Name = Field(description="what the rest of the config calls it")
    steps: Count | None = Field(
        None, description="optimiser steps on this dataset; detect.recipe.steps if absent"
    )
    detectors: Annotated[list[Detector], Unique] | None = Field(
        None, min_length=1, description="on this dataset; detect.detectors if absent"
    )


class ToyScenes(Scenes):
    """Characters of the toy world, several a canvas, with boxes and masks."""

    kind: Literal["toy_scenes"] = Field(description="rendered characters, several an image")
    alphabet: Alphabet = Field(description="which characters are the classes")
    size: Count = Field(description="pixels a side")
    objects: Count = Field(description="at most so many objects an image, at least one")
    object_size: SizeRange = Field(description="smallest and largest character, pixels")
    n_train: Count = Field(description="training images")
    n_test: Count = Field(description="test images")
    seed: Seed = Field(description="of colours, positions, sizes and noise")
    grating: NonNegative = Field(
        description="L2 norm of the stripes planted on every object of a class; 0: none"
    )


class VocScenes(Scenes):
    """Pascal VOC 2007 and 2012: trained on both trainval splits, tested on 2007 test."""

    kind: Literal["voc"] = Field(description="Pascal VOC 2007 + 2012")
    path: str = Field("VOCdevkit", min_length=1, description="folder of VOC2007 and VOC2012")
    max_side: MaxSide = None


class CocoScenes(Scenes):
    """COCO 2017: boxes and masks; trained on train2017, tested on val2017."""

    kind: Literal["coco"] = Field(description="COCO 2017")
    path: str = Field(
        "coco", min_length=1, description="folder of annotations, train2017 and val2017"
    )
    max_side: MaxSide = None


class VocFolder(Scenes):
    """Any folder in the layout of Pascal VOC: JPEGImages, Annotations, maybe ImageSets/Main."""

    kind: Literal["voc_folder"] = Field(description="a folder in VOC's layout")
    path: str = Field(min_length=1, description="the folder, below data_root")
    train: str | None = Field(
        None, min_length=1, description="list of ImageSets/Main, such as trainval"
    )
    test: str | None = Field(None, min_length=1, description="list of ImageSets/Main, such as test")
    test_fraction: ProperShare | None = Field(
        None, description="share of the images held out as test, where no lists are named"
    )
    split_seed: Seed | None = Field(None, description="of the split by test_fraction")
    max_side: MaxSide = None


class CocoSplit(Section):
    """One split of a dataset in COCO's form."""

    images: str = Field(min_length=1, description="folder of the images, below the dataset's path")
    annotations: str = Field(min_length=1, description="JSON file, below the dataset's path")


class CocoFolder(Scenes):
    """Any images with annotations in COCO's JSON."""

    kind: Literal["coco_folder"] = Field(description="a folder in COCO's form")
    path: str = Field(min_length=1, description="the folder, below data_root")
    train: CocoSplit = Field(description="the training images")
    test: CocoSplit = Field(description="the test images")
    max_side: MaxSide = None


SceneDataset = Annotated[
    ToyScenes | VocScenes | CocoScenes | VocFolder | CocoFolder, Field(discriminator="kind")
]
SCENE_KINDS: dict[str, type[Section]] = {
    "toy_scenes": ToyScenes,
    "voc": VocScenes,
    "coco": CocoScenes,
    "voc_folder": VocFolder,
    "coco_folder": CocoFolder,
}


def has_masks(definition: dict[str, Any]) -> bool:
    """Tell whether a dataset of this kind has masks; a COCO folder may, and its cache says so.

    Args:
        definition: one entry of `detect.datasets`.
    """
    return definition.get("kind") in ("toy_scenes", "coco", "coco_folder")


def image_definition(definition: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the images and objects of a dataset: not how detectors are trained.

    Args:
        definition: one entry of `detect.datasets`.
    """
    return {k: v for k, v in definition.items() if k not in ("steps", "detectors")}
