"""What was counted and how, in brief."""

from collections.abc import Mapping

import pandas as pd

PROTOCOLS = {
    "clean": "clean: inputs normalised with the source's statistics, frozen means frozen, every "
    "choice made on a validation split held out of train, the test split scored once",
    "paper": "paper: what the published code did, so that a published number can be met; its "
    "choices are made on what the tables say under 'Chosen on', as published on the test split",
}


def facts(accuracy: pd.DataFrame) -> list[tuple[str, str]]:
    """Count what the study holds, for the strip below the answer.

    Args:
        accuracy: the rows of accuracy.csv.

    Returns:
        (number, what it counts).
    """
    backbone = ["source", "architecture", "norm", "epsilon", "pretrain_seed"]
    counted = [
        (len(accuracy[backbone].drop_duplicates()), "backbone"),
        (accuracy["epsilon"].nunique(), "epsilon"),
        (accuracy["pretrain_seed"].nunique(), "pretraining seed"),
        (accuracy["dataset"].nunique(), "dataset"),
        (accuracy["transfer_seed"].nunique(), "transfer seed"),
        (len(accuracy), "transfer"),
    ]
    return [(f"{n:,}", name + "s" * (n != 1)) for n, name in counted if n]


def methods(
    accuracy: pd.DataFrame, data: Mapping[str, pd.DataFrame], confidence: float
) -> list[tuple[str, str]]:
    """Say the method in brief: protocol, replicate, intervals, tests.

    Args:
        accuracy: the rows of accuracy.csv.
        data: `welch` and `welch_selected`: they name the families of tests.
        confidence: of the intervals.

    Returns:
        (term, explanation).
    """
    protocols = [PROTOCOLS.get(p, p) for p in sorted(set(accuracy["protocol"].dropna()))]
    told = [("Protocol", "; ".join(protocols) + "." if protocols else "Not stated.")]
    if len(data["welch"]):
        families = "; ".join(
            f"{words}: {_families(data[name])}"
            for name, words in (("welch_selected", "at the chosen epsilon"),
                                ("welch", "at each epsilon"))
            if len(data[name])
        )  # fmt: skip
        told.append(
            ("Test", "Welch's t-test of robust against standard, two-sided. Holm adjusts within a "
             f"family ({families}); a verdict asks for an adjusted p below {1 - confidence:.3g}. "
             "An interval may exclude 0 and the verdict still be open: intervals are not "
             "adjusted.")
        )  # fmt: skip
    return [*told, *_ALWAYS, ("Intervals", f"{100 * confidence:g}%: {_INTERVALS}")]


def _families(judged: pd.DataFrame) -> str:
    """Name the families of a table of tests."""
    named = sorted(set(judged["family"].dropna()))
    return ", ".join(named) if named else f"all {len(judged)} rows of the table"


_ALWAYS = (
    ("Replicate", "Where a cell has two pretrainings or more, each counts once, as the mean of its "
     "transfer seeds. Otherwise n counts transfer seeds on one backbone, and the result is "
     "conditional on that backbone."),
    ("Modes", "Fixed features: a linear probe on frozen features. Full network: all weights are "
     "trained."),
    ("Epsilon", "The size of the attack that the backbone was pretrained against, in pixel units "
     "of images in [0, 1]; 0 is standard pretraining. After Salman et al. 2020, "
     "arXiv:2007.08489."),
)  # fmt: skip
_INTERVALS = (
    "Student's t over replicates, cut to 0 to 100%; for a single run, Wilson's interval of a share "
    "of the test images. With two replicates t has one degree of freedom and the interval is "
    "wide: that is honest."
)
