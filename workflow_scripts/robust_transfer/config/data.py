"""Section `data`: the datasets, and where images and caches lie."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from robust_transfer.config.published import published_datasets
from robust_transfer.config.values import (
    Count,
    Name,
    NonNegative,
    Number,
    OneOf,
    ProperShare,
    Section,
    Seed,
)

Alphabet = Annotated[
    str,
    OneOf(
        {
            "letters": "twelve Latin capitals",
            "digits": "0 to 9",
            "greek": "Greek letters",
            "cyrillic": "Cyrillic letters",
            "accents": "vowels that differ by their accents: a fine-grained set",
        }
    ),
]
BadImage = Annotated[
    str,
    OneOf(
        {
            "stop": "an unreadable image ends the build of its cache",
            "leave_out": "an unreadable image is left out and counted in the manifest",
        }
    ),
]


Metric = Annotated[
    str,
    OneOf(
        {
            "top1": "share of the test images that are classified right",
            "mean_per_class": "the same within each class, then averaged over classes",
        }
    ),
]


Contrast = Annotated[Number, Field(ge=0, le=0.4)]


class ToyDataset(Section):
    """Characters rendered on coloured noise; nothing to download."""

    name: Name = Field(description="what the rest of the config calls it")
    kind: Literal["toy"] = Field(description="rendered characters")
    metric: Metric = Field("top1", description="which accuracy is reported; top1 where absent")
    alphabet: Alphabet = Field(description="which characters are the classes")
    size: Count = Field(description="pixels a side")
    n_train: Count = Field(description="training images, all classes together")
    n_test: Count = Field(description="test images, all classes together")
    seed: Seed = Field(description="of colours, positions and noise")
    grating: NonNegative = Field(
        description="L2 norm, in pixel units of images in [0, 1], of the stripes planted on every "
        "image of a class; 0: none"
    )
    contrast: Contrast | None = Field(
        None,
        description="difference in luma, of 1, between a character and its background, as far as "
        "sixteen drawn colours have it: what is seen well is learned soon; 0.06 where absent",
    )


class UciDigits(Section):
    """Real scanned digits, 8x8, which scikit-learn ships."""

    name: Name = Field(description="what the rest of the config calls it")
    kind: Literal["uci_digits"] = Field(description="scanned digits of scikit-learn")
    metric: Metric = Field("top1", description="which accuracy is reported; top1 where absent")
    test_fraction: ProperShare = Field(description="share of the images held out as test")
    split_seed: Seed = Field(description="of the split into train and test")
    max_train: Count | None = Field(None, description="keep this many training images at most")
    max_test: Count | None = Field(None, description="keep this many test images at most")


class FolderDataset(Section):
    """Images in one folder a class, with or without folders for train and test."""

    name: Name = Field(description="what the rest of the config calls it")
    kind: Literal["folder"] = Field(description="a folder of images")
    path: str = Field(
        min_length=1, description="the folder, below data_root; holds train/<class>/ or <class>/"
    )
    metric: Metric = Field("top1", description="which accuracy is reported; top1 where absent")
    class_depth: Count | None = Field(
        None, description="folder levels that together name a class; 1 where it is not given"
    )
    test_folder: str | None = Field(
        None, min_length=1, description="folder of the test images beside train, such as val"
    )
    test_fraction: ProperShare | None = Field(
        None, description="share of the images held out as test, where no folder holds them"
    )
    split_seed: Seed | None = Field(None, description="of the split by test_fraction")
    max_train: Count | None = Field(None, description="keep this many training images at most")
    max_test: Count | None = Field(None, description="keep this many test images at most")


class TableDataset(Section):
    """Images that a CSV file lists."""

    name: Name = Field(description="what the rest of the config calls it")
    kind: Literal["csv"] = Field(description="a CSV file with columns path, label and maybe split")
    path: str = Field(
        min_length=1, description="the file, below data_root; image paths count from its folder"
    )
    metric: Metric = Field("top1", description="which accuracy is reported; top1 where absent")
    test_fraction: ProperShare | None = Field(
        None, description="share of the images held out as test, where there is no column split"
    )
    split_seed: Seed | None = Field(None, description="of the split by test_fraction")
    max_train: Count | None = Field(None, description="keep this many training images at most")
    max_test: Count | None = Field(None, description="keep this many test images at most")


PublishedKind = Literal[
    "aircraft", "birdsnap", "caltech101", "caltech256", "cars", "cifar10", "cifar100", "dtd",
    "flowers", "food", "imagenet", "imagenette", "pets", "stylized_imagenet", "sun397",
    "tiny_imagenet",
]  # fmt: skip


class PublishedDataset(Section):
    """A dataset of the literature in the layout of its own archive: docs/datasets.md."""

    name: Name = Field(description="what the rest of the config calls it")
    kind: PublishedKind = Field(description="which one")
    path: str | None = Field(
        None, min_length=1, description="its folder below data_root; as docs/datasets.md if absent"
    )
    metric: Metric = Field("top1", description="which accuracy is reported; the paper's if absent")
    split: Literal["paper", "standard"] | None = Field(
        None, description="which split, where there are several: paper or standard; paper if absent"
    )
    partition: Annotated[Count, Field(le=10)] | None = Field(
        None, description="which of the ten official partitions of DTD or SUN397; 1 if absent"
    )
    split_seed: Seed | None = Field(None, description="of a split or a choice that is drawn")
    max_train: Count | None = Field(None, description="keep this many training images at most")
    max_test: Count | None = Field(None, description="keep this many test images at most")
    download: bool = Field(False, description="fetch it, where a download still exists")

    @model_validator(mode="before")
    @classmethod
    def _metric_of_the_paper(cls, given: Any) -> Any:
        known = (
            published_datasets().get(str(given.get("kind"))) if isinstance(given, dict) else None
        )
        return {"metric": known.metric, **given} if known else given


Dataset = Annotated[
    ToyDataset | UciDigits | FolderDataset | TableDataset | PublishedDataset,
    Field(discriminator="kind"),
]
DATASET_KINDS: dict[str, type[Section]] = {
    "toy": ToyDataset,
    "uci_digits": UciDigits,
    "folder": FolderDataset,
    "csv": TableDataset,
    **dict.fromkeys(published_datasets(), PublishedDataset),
}


class Data(Section):
    """What can be a source or a target, and where it lies."""

    on_bad_image: BadImage = Field(description="what an unreadable image does")
    native_short_side: Count | None = Field(
        None, description="native images are reduced to this shorter side, pixels; absent: kept"
    )
    datasets: list[Dataset] = Field(description="what can be a source or a target")
