"""Which rows statistics count: this is the one place that says so."""

import pandas as pd

ALL = "all"
NO_SOURCE = "none"  # the source of a control: a backbone that was never pretrained


def main_rows(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Keep the transfers with all labels that train all that their mode trains, no controls.

    Label budgets, trainable blocks and controls are shown in figures and tables of their own; no
    test, correlation, model or recommendation counts them.

    Args:
        accuracy: rows of accuracy.csv; an empty or absent `label_budget` or `trainable_blocks`
            means all, as in published tables.
    """
    return accuracy[is_main(accuracy)].reset_index(drop=True)


def is_main(accuracy: pd.DataFrame) -> pd.Series:
    """Tell for each row whether `main_rows` keeps it."""
    kept = pd.Series(True, index=accuracy.index)
    for name in ("label_budget", "trainable_blocks"):
        if name in accuracy:
            kept &= accuracy[name].isna() | (accuracy[name].astype(str) == ALL)
    if "source" in accuracy:
        kept &= accuracy["source"].astype(object) != NO_SOURCE
    return kept
