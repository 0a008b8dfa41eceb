"""The figures of a study by name, and what each says; light, so that rules can read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """What a figure shows, in the words of the report.

    Attributes:
        title: a question or a name.
        caption: how to read it.
        nothing: what is missing when it has no data.
        detection: whether it stands under the heading of detection and segmentation.
    """

    title: str
    caption: str
    nothing: str
    detection: bool = False


CATALOGUE = {
    "summary": Entry(
        "The study on one page",
        "The best robust backbone against the best standard one; the mean gain over standard by "
        "epsilon; how well source accuracy predicts transfer; what validation recommends.",
        "No result to sum up: no transfer has ended.",
    ),
    "robust_against_standard": Entry(
        "Robust against standard",
        "Difference in transfer accuracy, robust minus standard, for each dataset, mode and "
        "epsilon. A filled bar: robust is better; hatched: standard is better; hollow: the two "
        "cannot be told apart once all comparisons are allowed for (Holm). Hundreds of comparisons "
        "are drawn as a table of coloured cells instead: a column a backbone.",
        "No comparison to show: it takes a standard (epsilon 0) and a robust backbone.",
    ),
    "accuracy_by_epsilon": Entry(
        "Accuracy against epsilon",
        "Transfer accuracy against the epsilon of pretraining, one panel a dataset and mode. "
        "Each panel has its own range.",
        "No accuracy to show: no transfer has ended.",
    ),
    "native_against_32": Entry(
        "Native size against 32x32",
        "The same datasets at their native size and reduced to 32x32 (the paper's way to give "
        "all datasets one granularity).",
        "No dataset was measured at more than one resolution.",
    ),
    "source_against_transfer": Entry(
        "Source against transfer accuracy",
        "Each mark is a backbone: its accuracy on the source, and after transfer. The paper's "
        "point is that the relation holds at one epsilon and breaks when epsilon varies.",
        "No source accuracy is known beside a transfer accuracy.",
    ),
    "pooled_against_fixed_epsilon": Entry(
        "Does source accuracy predict transfer?",
        "R squared of source and transfer accuracy: pooled over epsilon (hollow squares), and "
        "among networks of one epsilon (marks). Marks far right of a square are the paper's "
        "point: epsilon hides a relation that is there.",
        "No correlation both at one epsilon and pooled: it takes three networks at one epsilon.",
    ),
    "width": Entry(
        "Width of the network",
        "Transfer accuracy against width, within families of networks that differ by width "
        "alone; a curve an epsilon.",
        "No family of networks was measured at two widths.",
    ),
    "l2_against_linf": Entry(
        "L2 against L\N{INFINITY}",
        "The best robust backbone of either norm beside standard, for each architecture. The "
        "epsilons of the two norms have no common scale, so each norm takes its best.",
        "No place has robust backbones of both norms.",
    ),
    "label_budget": Entry(
        "How many labels",
        "Transfer accuracy against the number of labelled training images a class.",
        "No label budgets: all transfers use all labels.",
    ),
    "granularity": Entry(
        "Granularity and the best epsilon",
        "Measures of how fine a dataset's classes are, taken before any transfer from frozen "
        "features of a standard backbone, against the epsilon that is best for the dataset.",
        "No granularity was measured: it takes a standard backbone of the study's own.",
    ),
    "cost_against_accuracy": Entry(
        "What accuracy costs",
        "Seconds of one transfer against the accuracy that it reaches.",
        "No transfer was timed.",
    ),
    "pretraining_history": Entry(
        "How pretraining went",
        "Training loss, and accuracy on the validation split of the source: clean, and under an "
        "attack of the epsilon that the backbone is trained against.",
        "No training history: the study has no pretraining of its own.",
    ),
    "attacked_images": Entry(
        "What the attack does",
        "Test images of the source before and after the attack, with the perturbation "
        "multiplied until it shows. The same attack meets every backbone.",
        "No attacked images: the study has no pretraining of its own.",
    ),
    "precision_by_epsilon": Entry(
        "Average precision against epsilon",
        "COCO's average precision of detectors against the epsilon that their backbones were "
        "pretrained with; a network that was never pretrained stands beside, where there is one.",
        "No detector: detect.datasets is empty.",
        detection=True,
    ),
    "detected_objects": Entry(
        "What detectors find",
        "Test scenes with their true objects, and what detectors found that differ by their "
        "backbone alone.",
        "No detector: detect.datasets is empty.",
        detection=True,
    ),
}
#: Names of the files that `draw_all` writes, and the suffixes of each.
FIGURES = tuple(CATALOGUE)
FORMATS = ("svg", "png", "csv")


def toy_datasets(study_config: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the datasets that are rendered toys.

    Args:
        study_config: the study's config; `data.datasets` may be absent.
    """
    datasets = [each for section in ("data", "detect")
                for each in study_config.get(section, {}).get("datasets", [])]  # fmt: skip
    toys = ("toy", "toy_scenes")
    return frozenset(str(one["name"]) for one in datasets if one.get("kind") in toys)


def confidence_of(study_config: Mapping[str, Any]) -> float:
    """Return the confidence of the study's intervals, such as 0.95."""
    return float(study_config["analysis"]["confidence"])
