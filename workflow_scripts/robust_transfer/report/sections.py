"""What the page shows below the answer: its figures, its tables, and which data are toys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from robust_transfer.figures.catalogue import CATALOGUE, toy_datasets
from robust_transfer.report.columns import (
    accuracy_columns,
    detection_columns,
    note_columns,
    pearson_columns,
    robust_columns,
    variant_columns,
    welch_columns,
)
from robust_transfer.report.contents import TABLES
from robust_transfer.report.inline import csv_link, inline_figure
from robust_transfer.report.model_columns import (
    diagnostic_columns,
    effect_columns,
    equivalence_columns,
    granularity_columns,
    headline_columns,
    prediction_columns,
    recommendation_columns,
)
from robust_transfer.report.tables import Table, spell
from robust_transfer.statistics.equivalence import placebo_rate
from robust_transfer.statistics.main_rows import NO_SOURCE


def figures_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the figures that have data; the others are named as not drawn.

    Args:
        folder: where `draw_all` wrote.

    Returns:
        Name -> `svg` (an element), `csv` (a link, or None) and `rows` of the data.
    """
    found = {}
    for name, entry in CATALOGUE.items():
        rows = len(pd.read_csv(folder / f"{name}.csv"))
        if rows:
            found[name] = {
                "svg": inline_figure(folder, name, entry.title),
                "csv": csv_link(folder / f"{name}.csv"),
                "rows": rows,
            }
    return found


def toys_of(
    study_config: Mapping[str, Any], accuracy: pd.DataFrame, detection: pd.DataFrame
) -> dict[str, list[str]]:
    """Say which of the datasets that a study uses are toys.

    Args:
        study_config: the study's config.
        accuracy: the rows of accuracy.csv.
        detection: the rows of detection.csv.

    Returns:
        `datasets` (the toys), `planted` (those with a planted feature), `real` (all others).
    """
    tables = (accuracy, detection)
    used = {name for table in tables for name in table["dataset"].dropna()}
    used |= {name for table in tables for name in table["source"].dropna()} - {NO_SOURCE}
    pretrain = study_config.get("pretrain", {})
    if pretrain.get("backbones", True):
        used.add(pretrain.get("source"))
    toys = sorted(toy_datasets(study_config) & used)
    datasets = [each for section in ("data", "detect")
                for each in study_config.get(section, {}).get("datasets", [])]  # fmt: skip
    return {
        "datasets": toys,
        "planted": [one["name"] for one in datasets if one["name"] in toys and one.get("grating")],
        "real": sorted(str(name) for name in used - set(toys) if isinstance(name, str)),
    }


def tables_of(
    data: Mapping[str, pd.DataFrame], toy: frozenset[str], confidence: float
) -> list[Table]:
    """Spell the tables of the page.

    Args:
        data: name -> rows, as `shown_data` returns them.
        toy: names of the datasets that are toys.
        confidence: of the intervals.
    """
    percent = f"{100 * confidence:g}%"
    wide = f"{100 - 200 * (1 - confidence):g}%"  # two one-sided tests at the level
    columns = {
        "recommendation": recommendation_columns(toy, percent),
        "headline": headline_columns(toy),
        "welch_selected": welch_columns(toy, percent),
        "welch": welch_columns(toy, percent),
        "equivalence": equivalence_columns(toy, wide),
        "pearson": pearson_columns(toy, percent),
        "mixed_effects": effect_columns(percent),
        "mixed_diagnostics": diagnostic_columns(),
        "granularity": granularity_columns(toy),
        "granularity_prediction": prediction_columns(),
        "accuracy": accuracy_columns(toy, percent),
        "variants": variant_columns(toy, percent),
        "robust_accuracy": robust_columns(toy),
        "notes": note_columns(toy),
        "detection": detection_columns(toy, percent),
        "detection_welch": welch_columns(toy, percent),
    }
    placebo = placebo_text(data["equivalence"], 1 - confidence)
    return [
        spell((name, *_with(TEXTS[name], placebo if name == "equivalence" else "")),
              data[name], columns[name])
        for name in TABLES
    ]  # fmt: skip


def _with(texts: tuple[str, str, str], more: str) -> tuple[str, str, str]:
    """Add a sentence to a caption."""
    title, caption, nothing = texts
    return title, " ".join([caption, more]).strip(), nothing


def placebo_text(equivalence: pd.DataFrame, level: float) -> str:
    """Say how often placebo contrasts come out different, and how often chance would have it.

    Args:
        equivalence: the rows of equivalence.csv.
        level: of the tests.
    """
    found = placebo_rate(equivalence, level=level)
    if not found["tested"]:
        return "No placebo contrast (a tiny epsilon) was tested."
    return (
        f"Of {found['tested']} placebo contrasts (a tiny epsilon) {found['different']} come out "
        f"different; chance alone would make it about {found['tested'] * level:.1f}."
    )


_TESTS = (
    "Welch tests, two-sided; p values are adjusted by Holm over the family that Methods names. "
    "Intervals are of the difference, and not adjusted."
)
#: Name of a table -> title, caption, and what to say when it has no rows.
TEXTS = {
    "recommendation": (
        "Which backbone to take",
        "Candidates for each dataset, the most accurate first. Validation recommends; the test "
        "split then says how likely each is the best (bootstrap over pretrainings, runs and test "
        "images) and what taking it costs on average, or at most, if another is better.",
        "No predictions of the study's own to recommend from."),
    "headline": (
        "Best robust beside best standard",
        "The best over architectures, norms and epsilons, on either side. Chosen on test, as the "
        "paper does, such a maximum flatters the side with more candidates.",
        "No place has a robust beside a standard backbone."),
    "welch_selected": (
        "The chosen robust epsilon against standard",
        "Each replicate takes the robust epsilon that is best on its validation split; the choice "
        "is part of what is tested. " + _TESTS,
        "No epsilon was chosen: it takes validation accuracies, and standard backbones."),
    "welch": ("Robust against standard, at each epsilon", _TESTS,
              "No comparison: see the answer above."),
    "equivalence": (
        "Where no difference can be claimed",
        "Two one-sided tests: \u201cequivalent\u201d is shown to lie within the bound, "
        "\u201cundecided\u201d is neither that nor different. ",
        "No test of equivalence: it takes two replicates on each side."),
    "pearson": (
        "Source against transfer accuracy",
        "Pearson correlation over networks, at each epsilon and pooled over epsilon; within: "
        "pooled, given epsilon.",
        "No correlation: too few backbones."),
    "mixed_effects": (
        "One model over all cells",
        "A linear mixed model of accuracy on log-odds: each epsilon against standard within its "
        "mode, with random intercepts of dataset and backbone. Intervals are normal, and too "
        "short where backbones are few.",
        "No mixed model: it takes two epsilons and more cells than effects."),
    "mixed_diagnostics": (
        "Can that model be trusted?",
        "What was fitted, where the variance lies, and how residuals depart from normal ones.",
        "No mixed model was fitted."),
    "granularity": (
        "Granularity of the datasets",
        "Measured on training images and on frozen features of a standard backbone, before any "
        "transfer. Separation: between over within classes; small means fine-grained.",
        "Not measured: it takes a standard backbone of the study's own."),
    "granularity_prediction": (
        "Does granularity predict the best epsilon?",
        "Mean error, in places of the study's grid of epsilons, for a dataset left out; gain: the "
        "share by which the measure lowers the error of knowing none (below 0: it misleads).",
        "No prediction: it takes granularity and two epsilons."),
    "accuracy": (
        "Accuracy of each cell",
        "The mean over replicates; what n counts stands in its own column. Rows chosen on test "
        "(protocol paper with select_on: test) are there to meet published numbers.",
        "No transfer has ended."),
    "variants": (
        "Few labels, few trained blocks, no pretraining",
        "What the tests above do not count. Never pretrained: a network with its initial "
        "random weights, as frozen features (fixed) or trained from scratch (full), which shows "
        "what pretraining gave at all.",
        "No label budgets, no trainable blocks and no controls in this study."),
    "robust_accuracy": (
        "Does robustness survive the transfer?",
        "Accuracy of the transferred models on the same test images, clean and under PGD.",
        "Not measured: transfer.robustness.epsilons is empty."),
    "notes": (
        "What transfers met with",
        "Classes with a single image, constant features, learning rates that diverged and the "
        "like, and in how many transfers; each also stands in the record of its transfer.",
        "No transfer met with anything that a reader should know."),
    "detection": (
        "Average precision of detectors",
        "COCO's average precision, the mean over replicates; beside it AP of boxes at single "
        "overlaps and sizes, and VOC's mean AP by both of its rules. A single detector's interval "
        "is a bootstrap over test images.",
        "No detector: detect.datasets is empty."),
    "detection_welch": (
        "Robust against standard backbones of detectors", _TESTS,
        "No comparison of detectors: it takes a standard and a robust backbone under one."),
}  # fmt: skip
