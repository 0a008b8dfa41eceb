"""Section `pretrain`: which backbones are trained, and how."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from robust_transfer.config.architectures import is_architecture
from robust_transfer.config.values import (
    AttackName,
    Count,
    NonNegative,
    Number,
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
    parse_integer,
)

Norm = Annotated[
    str,
    OneOf(
        {
            "l2": "the Euclidean length of the change of an image",
            "linf": "the largest change of a pixel's channel",
        }
    ),
]
Schedule = Annotated[
    str,
    OneOf(
        {
            "cosine": "warm-up, then down to 0 along a cosine",
            "step": "x0.1 after each third of the epochs, as the paper",
        }
    ),
]
Method = Annotated[
    str,
    OneOf(
        {
            "pgd": "the loss of PGD-perturbed images, as the paper",
            "trades": "the clean loss, and how far the attacked prediction is from the clean one",
            "fgsm_rs": "the loss after one step of 1.25 epsilon from a random point of the ball",
            "nfgsm": "the loss after strong noise and one gradient step: a third of the cost",
        }
    ),
]
Compile = Annotated[
    str,
    OneOf(
        {
            "auto": "on a GPU, in a long run, where a trial finds it quicker",
            "off": "never",
        }
    ),
]
Augmentation = Annotated[
    str,
    OneOf(
        {
            "shift": "by up to an eighth of the image",
            "shift_flip": "shift, and mirror half of the images",
            "imagenet": "random resized crop, mirror, colour jitter and lighting, as the paper",
            "none": "images as they are",
        }
    ),
]


def _known(architecture: str) -> str:
    if not is_architecture(architecture):
        raise PydanticCustomError("architecture", "a known architecture")
    return architecture


def parse_images(given: Any) -> Any:
    """Read a number of images, or `all`."""
    if given == "all":
        return given
    try:
        count = parse_integer(given)
    except PydanticCustomError:
        count = 0
    if count < 1:
        raise PydanticCustomError("images", "`all`, or a positive whole number")
    return count


Architecture = Annotated[str, AfterValidator(_known)]


class ImportedWeights(Section):
    """Where weights come from that are not trained here: docs/backbones.md."""

    origin: str = Field(
        min_length=1, description="released, torchvision, or the path or URL of a checkpoint"
    )
    folder: str | None = Field(
        None, min_length=1, description="where released files lie already; absent: downloaded"
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="of the checkpoint, 64 hexadecimal digits; asked for with a URL"
    )
    unpickle: bool = Field(
        False, description="read a pickle of more than tensors, with all else left inert"
    )
    mean: list[Number] | None = Field(
        None, min_length=3, max_length=3, description="of the inputs it was trained on, a channel"
    )
    std: list[Positive] | None = Field(
        None,
        min_length=3,
        max_length=3,
        description="likewise; absent: the checkpoint's own, or ImageNet's",
    )
    source_accuracy: Share | None = Field(
        None, description="published accuracy on the source; known for released models"
    )
    check: bool = Field(
        False, description="measure the accuracy on the source, which must be there"
    )


class BackboneEntry(Section):
    """A few backbones: every combination of the entry's lists."""

    architecture: Annotated[list[Architecture], OneOrMore, Unique] = Field(
        min_length=1, description="one or several networks"
    )
    norm: Annotated[list[Norm], OneOrMore, Unique] = Field(
        min_length=1, description="in which the size of an attack is measured: l2 or linf"
    )
    epsilon: Annotated[list[NonNegative], OneOrMore, Unique] = Field(
        min_length=1,
        description="largest attack in training, in pixel units of images in [0, 1]; 0: ordinary "
        "training",
    )
    seeds: Annotated[list[Seed], OneOrMore, Unique] = Field(
        min_length=1, description="of weights, order and attacks: one backbone each"
    )
    weights: ImportedWeights | None = Field(
        None, description="where the weights come from; absent: they are trained here"
    )


class PretrainRecipe(Section):
    """How a backbone is trained on the source."""

    epochs: Count = Field(description="passes over the training split")
    batch_size: Count = Field(description="images a step")
    learning_rate: Positive = Field(description="peak, for one batch of batch_size")
    schedule: Schedule = Field(description="of the learning rate")
    warmup: Share = Field(description="share of the steps in which the learning rate rises")
    momentum: ShareBelowOne = Field(description="of SGD")
    weight_decay: NonNegative = Field(description="L2 penalty, as SGD's weight decay")
    label_smoothing: ShareBelowOne = Field(description="of the training loss")
    weight_average: ShareBelowOne = Field(
        description="decay a step of a moving average of the weights; 0: none"
    )
    epsilon_warmup: Share = Field(description="share of the steps in which epsilon rises from 0")
    method: Method = Field(description="of training at an epsilon above 0")
    attack_steps: Count = Field(
        description="steps of the attack, in training (the *fgsm* take one) and on validation"
    )
    relative_step_size: Positive = Field(description="step size / epsilon")
    random_start: bool = Field(description="start each attack at a random point of the ball")
    trades_beta: Positive = Field(description="weight of the divergence in the loss of trades")
    nfgsm_noise: NonNegative = Field(description="radius of the noise of nfgsm / epsilon")
    augmentation: Augmentation = Field(description="of the training images")
    compile: Compile = Field(description="whether networks are compiled for training")
    validation_fraction: ProperShare = Field(
        description="share of the source's training split that chooses the best epoch"
    )


class Evaluation(Section):
    """How a backbone's accuracy under attack is measured, on the source."""

    attack: AttackName = Field(description="which attack")
    attack_steps: Count = Field(description="its steps: 10 to 50 of pgd, 100 of apgd")
    relative_step_size: Positive = Field(description="step size / epsilon, of pgd")
    epsilons: Annotated[list[Positive], Unique] = Field(
        min_length=1, description="attack sizes, in the norm of the backbone"
    )
    images: Annotated[int | Literal["all"], BeforeValidator(parse_images)] = Field(
        description="test images attacked, of all classes alike; all: every one"
    )


class Pretrain(Section):
    """The backbones of the study."""

    source: str = Field(description="the dataset that backbones are pretrained on")
    resolution: Resolution = Field(description="which cache of the source is read")
    image_size: Count = Field(description="network input, pixels a side")
    images_on_device_mb: Count = Field(
        description="a split of the source up to this size, in 10^6 bytes, lies on the device as a "
        "whole; a larger one is streamed from the cache"
    )
    backbones: list[BackboneEntry] = Field(description="which backbones")
    recipe: PretrainRecipe = Field(description="how a backbone is trained")
    evaluation: Evaluation = Field(description="how accuracy under attack is measured")
