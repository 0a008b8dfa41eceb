"""Section `transfer`: which datasets backbones are transferred to, and how."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from robust_transfer.config.pretrain import Augmentation, Norm
from robust_transfer.config.values import (
    AttackName,
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
    Several,
    Share,
    ShareBelowOne,
    Unique,
    parse_integer,
)

Mode = Annotated[str, OneOf({"fixed": "train the new head only", "full": "train every weight"})]
Protocol = Annotated[
    str,
    OneOf(
        {
            "clean": "selection on a validation split, frozen means frozen",
            "paper": "what the published code did: transfer.paper",
        }
    ),
]
Control = Annotated[
    str,
    OneOf(
        {
            "random_features": "a probe on features of a network that was never trained",
            "from_scratch": "all weights trained, from random ones",
        }
    ),
]
SelectOn = Annotated[
    str,
    OneOf(
        {
            "validation": "a split held out of the training images chooses",
            "test": "the test split chooses, as in the published code; rows are marked",
        }
    ),
]
KeepFeatures = Annotated[
    str,
    OneOf(
        {
            "shared": "where several jobs read them: label budgets, granularity",
            "always": "for every probe, so that other penalties cost no forward pass",
        }
    ),
]


def parse_amount(given: Any) -> Any:
    """Read how many, or `all`."""
    if given == "all":
        return given
    try:
        count = parse_integer(given)
    except PydanticCustomError:
        count = 0
    if count < 1:
        raise PydanticCustomError("amount", "`all`, or a positive whole number")
    return count


def with_all(given: list[Any]) -> list[Any]:
    """Refuse a list without `all`: every statistic is made of those rows."""
    if "all" not in given:
        raise PydanticCustomError(
            "without_all", "a list that holds `all` too: the statistics are made of those transfers"
        )
    return given


Amount = Annotated[int | Literal["all"], BeforeValidator(parse_amount)]
Amounts = Annotated[list[Amount], OneOrMore, Unique, AfterValidator(with_all)]


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
    keep_features: KeepFeatures = Field(description="which features are kept on disk")
    label_budgets: Amounts = Field(description="labelled training images a class, nested; or all")


class FullRecipe(Section):
    """How all weights are trained."""

    steps: Count = Field(description="optimiser steps")
    batch_size: Several = Field(description="images a step; BatchNorm needs two")
    learning_rates: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="peaks; validation chooses"
    )
    warmup: Share = Field(description="share of the steps in which the learning rate rises")
    momentum: ShareBelowOne = Field(description="of SGD")
    weight_decay: NonNegative = Field(description="L2 penalty, as SGD's weight decay")
    augmentation: Augmentation = Field(description="of the training images")
    label_budgets: Amounts = Field(description="labelled training images a class, nested; or all")
    trainable_blocks: Amounts = Field(
        description="how many of the last blocks are trained with the head, the rest frozen; or all"
    )


class FromScratch(Section):
    """The budget of training from random weights; all else is as in `full`."""

    steps: Count = Field(description="optimiser steps")
    learning_rates: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="peaks; validation chooses"
    )


class PaperRecipe(Section):
    """What the published code did, in both modes."""

    epochs: Count = Field(description="passes over the training images")
    decay_every: Count = Field(description="epochs after which the learning rate falls")
    decay: ShareBelowOne = Field(description="factor by which it falls")
    batch_size: Several = Field(description="images a step; BatchNorm needs two")
    learning_rates: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="initial ones; what `select_on` says chooses"
    )
    momentum: ShareBelowOne = Field(description="of SGD")
    weight_decay: NonNegative = Field(description="L2 penalty, as SGD's weight decay")
    evaluate_every: Count = Field(description="epochs between looks at the split that chooses")
    select_on: SelectOn = Field(description="which split chooses learning rate and epoch")


class Robustness(Section):
    """The attack on transferred models."""

    epsilons: Annotated[list[Positive], Unique] = Field(
        description="sizes, in pixel units of images in [0, 1]; an empty list: no attack"
    )
    norm: Norm = Field(description="in which the size of an attack is measured: l2 or linf")
    attack: AttackName = Field(description="which attack")
    attack_steps: Count = Field(description="its steps: 10 to 50 of pgd, 100 of apgd")
    relative_step_size: Positive = Field(description="step size / epsilon, of pgd")
    images: Amount = Field(description="test images attacked, of all classes alike; all: every one")


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
    from_scratch: FromScratch = Field(description="control from_scratch")
    paper: PaperRecipe = Field(description="protocol paper")
    controls: Annotated[list[Control], Unique] = Field(
        description="references without any pretraining; no test counts them"
    )
    robustness: Robustness = Field(description="accuracy under attack after transfer")
