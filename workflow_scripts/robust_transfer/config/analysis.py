"""Sections `analysis`, `report` and `audit`: what is made of the accuracies."""

from typing import Annotated

from pydantic import Field

from robust_transfer.config.values import (
    CountOrZero,
    NonNegative,
    OneOf,
    ProperShare,
    Section,
    Seed,
    Unique,
)

Test = Annotated[
    str,
    OneOf(
        {
            "welch": "robust against standard backbones, a t-test of unequal variances",
            "pearson": "correlation of source accuracy and transfer accuracy",
        }
    ),
]


class Analysis(Section):
    """The statistics of the study."""

    confidence: ProperShare = Field(description="of every interval, such as 0.95")
    tests: Annotated[list[Test], Unique] = Field(description="which tests are made")
    equivalence_bound: ProperShare = Field(
        description="difference of accuracy, as a share, that does not matter"
    )
    placebo_epsilon: NonNegative = Field(
        description="L2 backbones up to this epsilon, in pixel units, should not differ from 0"
    )
    external_accuracy: Annotated[list[str], Unique] = Field(
        description="CSV files of published accuracies"
    )


class Report(Section):
    """What the report shows."""

    title: str = Field(min_length=1, description="its headline")
    example_images: CountOrZero = Field(description="clean and attacked images shown")
    export: bool = Field(
        description="write the chosen model of each dataset, and show where it errs"
    )


class Audit(Section):
    """What the audit looks at beside the files; no result depends on it."""

    claims: Annotated[list[str], Unique] = Field(default=[], description="YAML files of claims")
    replay: Annotated[list[str], Unique] = Field(
        default=[], description="files or rules to make again; none: a sample of all jobs"
    )
    replay_seconds: NonNegative = Field(default=60, description="cost of that sample, as recorded")
    replay_seed: Seed = Field(default=0, description="of the draw of that sample")
