"""The columns of each table: what a header says and how a row is spelled under it."""

from collections.abc import Callable, Collection
from typing import Any

import pandas as pd

from robust_transfer.figures.cells import UNITS, epsilon_text
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.small_multiples import dataset_text, mode_text
from robust_transfer.figures.verdicts import KINDS
from robust_transfer.report.tables import Cell, Column
from robust_transfer.report.words import (
    chosen_epsilons,
    count,
    interval,
    number,
    p_text,
    resolution_text,
)

#: What stands for the source of a control.
UNTRAINED = {"none": "never pretrained"}


def word(name: str, spell: Callable[[Any], str] = str) -> Callable[[Any], Cell]:
    """Make a column of words."""

    def cell(row: Any) -> Cell:
        value = getattr(row, name)
        text = "" if pd.isna(value) else spell(value)
        return Cell(text, text)

    return cell


def numeric(name: str, spell: Callable[[Any], str], kind: str = "") -> Callable[[Any], Cell]:
    """Make a column of numbers."""
    return lambda row: Cell(spell(getattr(row, name)), float(getattr(row, name)), kind)


def epsilon_cell(row: Any) -> Cell:
    """Spell epsilon: several where replicates chose differently; pooled rows have none."""
    chosen = chosen_epsilons(row)
    if chosen:
        return Cell(" or ".join(epsilon_text(e, row.norm) for e in chosen), float(row.epsilon))
    if pd.isna(row.epsilon):
        return Cell("pooled" if hasattr(row, "r") else "none chosen", -1.0)
    return Cell(epsilon_text(row.epsilon, row.norm), float(row.epsilon))


def both_n(row: Any) -> Cell:
    """Spell the replicates of both sides: robust, standard."""
    return Cell(f"{count(row.n_robust)}, {count(row.n_standard)}", float(row.n_robust))


def place(toy: Collection[str]) -> list[Column]:
    """Return the columns that say where a number was measured."""
    return [
        ("Dataset", False, word("dataset", lambda name: dataset_text(name, toy))),
        ("Size", False, word("resolution", resolution_text)),
        ("Mode", False, word("mode", mode_text)),
    ]


def backbone() -> list[Column]:
    """Return the columns that name a backbone."""
    return [
        ("Architecture", False, word("architecture")),
        ("Norm", False, word("norm", lambda norm: NORMS.get(norm, norm))),
        ("Epsilon", True, epsilon_cell),
    ]


def metric_text(metric: str) -> str:
    """Spell a metric: "mean per class", "AP of boxes"."""
    precision = {"box_ap": "AP of boxes", "mask_ap": "AP of masks"}
    return precision.get(metric, metric.replace("_", " "))


def provenance() -> list[Column]:
    """Return the columns that say how and by whom a number was measured."""
    return [
        ("Source", False, word("source")),
        ("Protocol", False, word("protocol")),
        ("Metric", False, word("metric", metric_text)),
        ("Origin", False, word("origin")),
    ]


def points(low: str, high: str, digits: int = 1, scale: float = 100) -> Callable[[Any], Cell]:
    """Make a column of intervals, sorted by their lower end."""
    return lambda row: Cell(
        interval(getattr(row, low), getattr(row, high), digits, scale=scale),
        float(getattr(row, low)),
    )


def accuracy_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the accuracy table, over rows of `summarise`."""
    return [
        *place(toy),
        *backbone(),
        ("Accuracy, %", True, numeric("mean", lambda v: number(100 * v), "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("n", True, numeric("n", count)),
        ("n counts", False, word("replicate", lambda unit: UNITS.get(unit, unit))),
        ("Test images", True, numeric("n_test", count)),
        ("Chosen on", False, word("selected_on")),
        *provenance(),
    ]


def variant_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the table of few labels, few trained blocks and controls."""
    return [
        *place(toy),
        ("Pretrained on", False, word("source", lambda name: UNTRAINED.get(name, name))),
        *backbone(),
        ("Labels a class", False, word("label_budget")),
        ("Trained blocks", False, word("trainable_blocks")),
        ("Accuracy, %", True, numeric("mean", lambda v: number(100 * v), "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("n", True, numeric("n", count)),
        ("n counts", False, word("replicate", lambda unit: UNITS.get(unit, unit))),
        ("Chosen on", False, word("selected_on")),
        *provenance()[1:],
    ]


def robust_columns(toy: Collection[str]) -> list[Column]:
    """Return the columns of the table of accuracy under attack after transfer."""
    return [
        *place(toy),
        ("Protocol", False, word("protocol")),
        ("Pretrained on", False, word("source", lambda name: UNTRAINED.get(name, name))),
        *backbone(),
        ("Labels a class", False, word("label_budget")),
        ("Trained blocks", False, word("trainable_blocks")),
        ("Chosen on", False, word("selected_on")),
        ("Pretraining seed", True, numeric("pretrain_seed", count)),
        ("Transfer seed", True, numeric("transfer_seed", count)),
        (
            "Attack",
            False,
            lambda row: Cell(
                f"{row.attack.upper()}-{count(row.attack_steps)}, "
                f"{NORMS.get(row.attack_norm, row.attack_norm)} "
                f"{epsilon_text(row.attack_epsilon, row.attack_norm)}",
                float(row.attack_epsilon),
            ),
        ),
        ("Clean top-1, %", True, numeric("clean_accuracy", lambda v: number(100 * v))),
        (
            "Attacked top-1, %",
            True,
            numeric("robust_accuracy", lambda v: number(100 * v), "strong"),
        ),
        ("Images attacked", True, numeric("attacked_images", count)),
    ]


def note_columns(toy: Collection[str]) -> list[Column]:
    """Return the columns of the table of notes, over rows of `noted`."""
    return [
        *place(toy),
        ("Protocol", False, word("protocol")),
        ("What it was", False, word("note")),
        ("Transfers", True, numeric("n", count)),
    ]


def welch_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the table of comparisons, over rows of welch.csv with verdicts."""
    return [
        *place(toy),
        *backbone(),
        ("Verdict", False, lambda row: Cell(KINDS[row.verdict], row.verdict, row.verdict)),
        (
            "Difference, points",
            True,
            numeric("difference", lambda v: number(100 * v, sign=True), "strong"),
        ),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("p", True, numeric("p_value", p_text)),
        ("p (Holm)", True, numeric("p_adjusted", p_text)),
        ("Robust, %", True, numeric("mean_robust", lambda v: number(100 * v))),
        ("Standard, %", True, numeric("mean_standard", lambda v: number(100 * v))),
        ("n, each side", True, both_n),
        (
            "n counts",
            False,
            word("replicate", lambda unit: "" if unit == "none" else UNITS.get(unit, unit)),
        ),
        *provenance(),
        ("Note", False, word("note")),
    ]


def detection_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the table of detectors, over rows of `detection_cells`."""
    beside = (("AP50", "box_ap50"), ("AP75", "box_ap75"), ("AP small", "box_ap_small"),
              ("AP medium", "box_ap_medium"), ("AP large", "box_ap_large"),
              ("VOC 07", "voc07_map50"), ("VOC 10+", "voc10_map50"))  # fmt: skip
    return [
        ("Dataset", False, word("dataset", lambda name: dataset_text(name, toy))),
        ("Detector", False, word("mode")),
        ("Pretrained on", False, word("source", lambda name: UNTRAINED.get(name, name))),
        *backbone(),
        ("Metric", False, word("metric", metric_text)),
        ("AP, %", True, numeric("mean", lambda v: number(100 * v), "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high")),
        ("n", True, numeric("n", count)),
        ("n counts", False, word("replicate", lambda unit: UNITS.get(unit, unit))),
        *((header, True, numeric(name, lambda v: number(100 * v))) for header, name in beside),
        ("Test images", True, numeric("n_test", count)),
        ("Origin", False, word("origin")),
    ]


def pearson_columns(toy: Collection[str], percent: str) -> list[Column]:
    """Return the columns of the table of correlations, over rows of pearson.csv."""
    return [
        *place(toy),
        ("Norm", False, word("norm", lambda norm: NORMS.get(norm, norm))),
        ("Epsilon", True, epsilon_cell),
        ("r", True, numeric("r", lambda v: number(v, 2), "strong")),
        (f"{percent} interval", True, points("ci_low", "ci_high", 2, 1)),
        ("R\N{SUPERSCRIPT TWO}", True, numeric("r_squared", lambda v: number(v, 2))),
        ("p", True, numeric("p_value", p_text)),
        ("n networks", True, numeric("n", count)),
        ("r within", True, numeric("within_r", lambda v: number(v, 2))),
        *provenance(),
        ("Note", False, word("note")),
    ]
