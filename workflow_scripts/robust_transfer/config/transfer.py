"""Section `transfer`: which datasets backbones are transferred to, and how."""

from typing import Annotated

from pydantic import Field

from robust_transfer.config.pretrain import Augmentation
from robust_transfer.config.values import (
    Count,
    CountOrZero,
    NonNegative,
    OneOf,
    OneOrMore,
    Positive,
    ProperShare,
    Resolution,
    Section,
    Seed,
    Share,
    ShareBelowOne,
    Unique,
)

Mode = Annotated[str, OneOf({"fixed": "train the new head only", "full": "train every weight"})]
# The paper's own protocol is not built yet; published accuracies carry it as a word of their own.
Protocol = Annotated[str, OneOf({"clean": "selection on a validation split, frozen means frozen"})]


class TransferDataset(Section):
    """A target, at one or several resolutions."""

    name: str = Field(description="a dataset of data.datasets")
    resolutions: Annotated[list[Resolution], OneOrMore, Unique] = Field(
        min_length=1, description="native, or pixels a side"
    )


class FixedRecipe(Section):
    """How the probe on frozen features is fitted."""

    penalties: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="weights of |W|^2/2 beside the mean loss; validation chooses"
    )
    augmented_views: CountOrZero = Field(description="augmented copies of each training image")
    augmentation: Augmentation = Field(description="of those copies")


class FullRecipe(Section):
    """How all weights are trained."""

    steps: Count = Field(description="optimiser steps")
    batch_size: Count = Field(description="images a step")
    learning_rates: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="peaks; validation chooses"
    )
    warmup: Share = Field(description="share of the steps in which the learning rate rises")
    momentum: ShareBelowOne = Field(description="of SGD")
    weight_decay: NonNegative = Field(description="L2 penalty, as SGD's weight decay")
    augmentation: Augmentation = Field(description="of the training images")


class Transfer(Section):
    """The transfers of the study."""

    modes: Annotated[list[Mode], Unique] = Field(min_length=1, description="what is trained")
    protocols: Annotated[list[Protocol], Unique] = Field(min_length=1, description="by which rules")
    seeds: Annotated[list[Seed], Unique] = Field(
        min_length=1, description="each draws its own validation split, head and order of images"
    )
    datasets: list[TransferDataset] = Field(description="the targets")
    validation_fraction: ProperShare = Field(
        description="share of the training split that chooses penalty and learning rate"
    )
    fixed: FixedRecipe = Field(description="mode fixed")
    full: FullRecipe = Field(description="mode full")
