"""The tables of results as figures and report read them: plain columns, none absent."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.statistics.detection import PROTOCOL
from robust_transfer.statistics.tables import read_table

#: Columns that a reader relies on; absent ones are read as empty.
ACCURACY = (
    "source", "architecture", "norm", "epsilon", "pretrain_seed", "dataset", "resolution", "mode",
    "protocol", "label_budget", "trainable_blocks", "transfer_seed", "metric", "origin", "n_test",
    "accuracy", "source_accuracy", "validation_accuracy", "selected_on", "classes",
    "labelled_images", "seconds", "notes",
)  # fmt: skip
WELCH = (
    "mode", "dataset", "resolution", "architecture", "norm", "epsilon", "n_robust", "n_standard",
    "mean_robust", "mean_standard", "difference", "ci_low", "ci_high", "t", "dof", "p_value",
    "p_adjusted", "replicate", "source", "protocol", "metric", "origin", "family", "note",
)  # fmt: skip
SELECTED = (*WELCH, "chosen", "candidates")
PEARSON = ("mode", "dataset", "resolution", "norm", "epsilon", "n", "r", "ci_low", "ci_high",
           "p_value", "r_squared", "within_r", "source", "protocol", "metric", "origin",
           "note")  # fmt: skip
HEADLINE = (
    "mode", "dataset", "resolution", "best_robust", "accuracy_robust", "best_standard",
    "accuracy_standard", "difference", "selected_on", "source", "protocol", "metric", "origin",
)  # fmt: skip
EQUIVALENCE = (
    "mode", "dataset", "resolution", "architecture", "norm", "epsilon", "n_robust", "n_standard",
    "difference", "ci_low", "ci_high", "bound", "p_equivalent", "p_equivalent_adjusted", "p_value",
    "detectable_bound", "placebo", "verdict", "replicate", "family", "source", "protocol",
    "metric", "origin", "note",
)  # fmt: skip
RECOMMENDATION = (
    "dataset", "resolution", "protocol", "metric", "source", "architecture", "norm", "epsilon",
    "mode", "recommended", "accuracy", "ci_low", "ci_high", "probability_best", "regret",
    "regret_high", "n", "unit", "validation_accuracy", "seconds", "images",
)  # fmt: skip
EFFECTS = ("origin", "protocol", "source", "norm", "term", "estimate", "standard_error", "ci_low",
           "ci_high", "z", "p_value", "odds_ratio")  # fmt: skip
DIAGNOSTICS = ("origin", "protocol", "source", "norm", "measure", "amount", "note")
_MEASURES = ("classes", "separation", "within_distance", "between_distance", "nearest_mean_margin",
             "nearest_mean_accuracy", "intrinsic_dimension", "high_frequency_energy")  # fmt: skip
GRANULARITY = ("dataset", "resolution", "backbone", "images", *_MEASURES)
_PLACE = ("mode", "resolution", "norm", "source", "protocol", "origin")
POINTS = (*_PLACE, "dataset", "best_epsilon_place", *_MEASURES)
PREDICTION = (*_PLACE, "measure", "n", "r", "p_value", "error", "error_of_median", "gain", "note")
ROBUST = (
    *ACCURACY[:11], "label_budget", "trainable_blocks", "selected_on", "attack", "attack_norm",
    "attack_epsilon", "attack_steps", "attacked_images", "clean_accuracy", "robust_accuracy",
)  # fmt: skip
DETECTION = (
    "source", "architecture", "norm", "epsilon", "pretrain_seed", "dataset", "resolution", "mode",
    "protocol", "transfer_seed", "metric", "origin", "n_test", "objects", "accuracy", "ci_low",
    "ci_high", "source_accuracy", "backbone", "seconds",
)  # fmt: skip
#: Tables of results by name, with the columns that readers rely on.
TABLES = {
    "accuracy": ACCURACY, "welch": WELCH, "welch_selected": SELECTED, "pearson": PEARSON,
    "headline": HEADLINE, "equivalence": EQUIVALENCE, "recommendation": RECOMMENDATION,
    "mixed_effects": EFFECTS, "mixed_diagnostics": DIAGNOSTICS, "granularity": GRANULARITY,
    "granularity_points": POINTS, "granularity_prediction": PREDICTION,
    "robust_accuracy": ROBUST, "detection": DETECTION, "detection_welch": WELCH,
}  # fmt: skip


def read_results(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a table of results; words stay words ("32" is a resolution, not a number).

    Args:
        path: a CSV file with a header; it may have no rows.
        columns: those that the reader relies on.

    Returns:
        The table, as `plain` gives it.
    """
    return plain(read_table(path), columns)


def read_all(paths: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Read some of `TABLES`.

    Args:
        paths: name -> CSV file; names that are not of `TABLES` are left out.
    """
    return {name: read_results(path, TABLES[name]) for name, path in paths.items()
            if name in TABLES}  # fmt: skip


def complete(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return every one of `TABLES` as `plain` gives it; absent ones are empty.

    The tests of detectors stand in welch.csv with the others; here they are a table of their own.

    Args:
        tables: name -> rows; some may be absent.
    """
    found = {name: plain(tables.get(name, pd.DataFrame()), columns)
             for name, columns in TABLES.items()}  # fmt: skip
    of_detectors = found["welch"]["protocol"] == PROTOCOL
    if of_detectors.any():
        found["detection_welch"] = found["welch"][of_detectors].reset_index(drop=True)
        found["welch"] = found["welch"][~of_detectors].reset_index(drop=True)
    return found


def plain(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Give a table all the columns asked for: numbers as float64 and words as str, or NaN.

    Args:
        table: rows of results.
        columns: those that the reader relies on; absent ones are added, empty.
    """
    table = table.assign(**{name: np.nan for name in columns if name not in table})
    whole = [name for name in table if pd.api.types.is_integer_dtype(table[name].dtype)]
    words = [name for name in table if isinstance(table[name].dtype, pd.StringDtype)]
    return table.astype(dict.fromkeys(whole, "float64") | dict.fromkeys(words, "object"))


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a table; each has its columns as attributes."""
    yield from table.itertuples()


def groups_of(table: pd.DataFrame, keys: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield (value of the keys, rows), in the order of the keys; empty keys are a group too."""
    yield from table.groupby(keys, dropna=False, sort=True)
