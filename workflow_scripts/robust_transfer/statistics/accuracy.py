"""accuracy.csv: one row a transfer, scored from its predictions, and published rows beside."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.errors import DataError, did_you_mean
from robust_transfer.images.splits import attacked_rows
from robust_transfer.statistics.main_rows import ALL
from robust_transfer.statistics.notes import SEPARATOR
from robust_transfer.statistics.tables import ACCURACY, IDENTITY, make_table, read_table, typed
from robust_transfer.transfer.metrics import (
    calibration_error,
    log_loss,
    mean_per_class,
    score,
    top1,
)
from robust_transfer.transfer.predictions import Predictions, load_predictions

#: What a record of a transfer must say; the rest of the columns is taken where it is said.
TRANSFER_KEYS = (
    "backbone", "architecture", "source", "norm", "epsilon", "pretrain_seed", "dataset",
    "resolution", "mode", "protocol", "label_budget", "trainable_blocks", "transfer_seed", "metric",
)  # fmt: skip
TRANSFER_EXTRAS = (
    "classes", "validation_accuracy", "selected", "selected_on", "labelled_images", "seconds",
    "images_through_network", "peak_memory_bytes", "device",
)  # fmt: skip
#: Columns of robust_accuracy.csv.
ROBUST = (
    *IDENTITY, "backbone", "selected_on", "attack", "attack_norm", "attack_epsilon", "attack_steps",
    "attacked_images", "clean_accuracy", "robust_accuracy",
)  # fmt: skip
#: What the rows of a table of accuracies are sorted by.
ORDER = ("origin", "source", "architecture", "norm", "epsilon", "pretrain_seed", "dataset",
         "resolution", "mode", "protocol", "label_budget", "trainable_blocks",
         "transfer_seed")  # fmt: skip
SHARES = ("accuracy", "source_accuracy", "top1", "mean_per_class", "validation_accuracy")
CHOICES = {
    "mode": ("fixed", "full"),
    "norm": ("l2", "linf"),
    "metric": ("top1", "mean_per_class"),
    "selected_on": ("validation", "test", "none"),
}


def accuracy_table(
    prediction_paths: Sequence[str | Path],
    record_paths: Sequence[str | Path],
    backbone_record_paths: Sequence[str | Path],
    external: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Score every prediction file, and set published accuracies beside.

    Args:
        prediction_paths: predictions.npz of each transfer.
        record_paths: transfer.json of each, in the same order.
        backbone_record_paths: backbone.json of each backbone, in any order.
        external: CSV files as `read_external` takes them.

    Returns:
        The columns `ACCURACY`; our rows (`origin` is "run") first, then the published ones.

    Raises:
        DataError: a record lacks a key or a backbone, or two rows are one and the same run.
    """
    if len(prediction_paths) != len(record_paths):
        raise DataError(
            f"{len(prediction_paths)} files of predictions but {len(record_paths)} records: "
            "expected one record for each."
        )
    backbones = {}
    for path in backbone_record_paths:
        record = read_record(path, ("backbone", "source_accuracy"))
        backbones[record["backbone"]] = record
    rows = [
        _row(path, record_path, backbones)
        for path, record_path in zip(prediction_paths, record_paths, strict=True)
    ]
    ours = make_table(rows, ACCURACY)
    tables = [ours, *(read_external(path) for path in external)]
    table = _sorted(pd.concat(tables, ignore_index=True))
    _refuse_repeats(table, "accuracies")
    return table


def robustness_table(
    prediction_paths: Sequence[str | Path], record_paths: Sequence[str | Path]
) -> pd.DataFrame:
    """Collect the accuracies under attack after transfer.

    Args:
        prediction_paths: predictions.npz of each transfer.
        record_paths: transfer.json of each, in the same order.

    Returns:
        The columns `ROBUST`, one row an attack; none where nothing was attacked.
        `clean_accuracy` is top-1 on the same images as `robust_accuracy`, both in [0, 1].
    """
    rows = []
    for path, record_path in zip(prediction_paths, record_paths, strict=True):
        record = read_record(record_path, TRANSFER_KEYS)
        for attack in record.get("robustness", ()):
            predictions = load_predictions(path)
            attacked = attacked_rows(predictions.labels, attack["attacked_images"])
            clean = top1(predictions.logits[attacked], predictions.labels[attacked])
            about = {key: record[key] for key in (*IDENTITY, "backbone")}
            about["selected_on"] = record.get("selected_on", "")
            rows.append(about | attack | {"clean_accuracy": clean})
    table = make_table(rows, ROBUST)
    return table.sort_values([*IDENTITY, "attack_epsilon"], kind="stable").reset_index(drop=True)


def read_record(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a JSON record that must have some keys.

    Args:
        path: transfer.json or backbone.json.
        keys: that it must have; it may have others.

    Raises:
        DataError: the file is missing, no JSON, or lacks a key.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}).") from error
    for key in keys:
        if not isinstance(record, dict) or key not in record:
            raise DataError(f"{path}: no '{key}'; expected {', '.join(keys)}.")
    return record


def _row(
    path: str | Path, record_path: str | Path, backbones: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Score one file of predictions."""
    record = read_record(record_path, TRANSFER_KEYS)
    if record["backbone"] not in backbones:
        raise DataError(
            f"{record_path}: backbone '{record['backbone']}' has no record; there are "
            f"{', '.join(backbones) or 'none'}."
        )
    backbone = backbones[record["backbone"]]
    predictions = load_predictions(path)
    said = {key: record[key] for key in TRANSFER_KEYS}
    said |= {key: record.get(key) for key in TRANSFER_EXTRAS}
    said["notes"] = SEPARATOR.join(record.get("notes", ())) or None
    robust = backbone.get("source_robust_accuracy") or {}
    return said | _scores(predictions, record["metric"]) | {
        "source_accuracy": backbone["source_accuracy"],
        "source_robust_accuracy": ";".join(f"{key}={value:.6g}" for key, value in robust.items()),
        "origin": "run",
    }  # fmt: skip


def _scores(predictions: Predictions, metric: str) -> dict[str, Any]:
    """Return every score of one file of predictions."""
    given = predictions.logits, predictions.labels
    return {
        "n_test": len(predictions.labels),
        "accuracy": score(metric, *given),
        "top1": top1(*given),
        "mean_per_class": mean_per_class(*given),
        "log_loss": log_loss(*given),
        "calibration_error": calibration_error(*given),
    }


def read_external(path: str | Path) -> pd.DataFrame:
    """Read published accuracies.

    Args:
        path: CSV with columns of accuracy.csv: `dataset`, `mode`, `architecture`, `epsilon`,
            `accuracy` and `origin` at least; absent ones are empty, others are left out.

    Returns:
        The columns `ACCURACY`, sorted.

    Raises:
        DataError: a column is missing or misspelt, an accuracy leaves [0, 1] (percent?), a word is
            unknown, or two rows are one and the same run.
    """
    table = read_table(path)
    for name in set(table.columns) - set(ACCURACY):
        hint = did_you_mean(name, set(ACCURACY) - set(table.columns))
        if hint:
            raise DataError(f"{path}: unknown column '{name}'.{hint}")
    for name in ("dataset", "mode", "architecture", "epsilon", "accuracy", "origin"):
        if name not in table:
            raise DataError(f"{path}: no column '{name}'; it has {', '.join(table.columns)}.")
        if table[name].isna().any():
            line = int(np.flatnonzero(table[name].isna())[0]) + 1
            raise DataError(f"{path}, row {line}, {name}: empty, but every row needs one.")
    if (table["origin"] == "run").any():
        raise DataError(f"{path}, origin: 'run' is for our own rows; say where a number is from.")
    _refuse_wrong_values(path, table)
    full = typed(table.reindex(columns=list(ACCURACY)))
    for name in ("label_budget", "trainable_blocks"):
        full[name] = full[name].fillna(ALL)
    _refuse_repeats(full, path)
    return _sorted(full)


def _refuse_wrong_values(path: str | Path, table: pd.DataFrame) -> None:
    """Raise DataError for shares outside [0, 1], negative epsilons and unknown words."""
    for name in (name for name in SHARES if name in table):
        wrong = table[name][(table[name] < 0) | (table[name] > 1)]
        if len(wrong):
            percent = " It looks like percent: divide by 100." if wrong.max() > 1 else ""
            raise DataError(
                f"{path}, row {wrong.index[0] + 1}, {name}: {wrong.iloc[0]:g}, expected a share "
                f"in [0, 1].{percent}"
            )
    if (table["epsilon"] < 0).any():
        raise DataError(f"{path}, epsilon: {table['epsilon'].min():g}, expected 0 or more.")
    for name, allowed in CHOICES.items():
        values = table[name].dropna() if name in table else ()
        for value in values:
            if value not in allowed:
                raise DataError(
                    f"{path}, {name}: unknown value '{value}'. Choose one of "
                    f"{', '.join(allowed)}.{did_you_mean(value, allowed)}"
                )


def _refuse_repeats(table: pd.DataFrame, where: object) -> None:
    """Raise DataError where two rows agree in all that says which run they are."""
    keys = [*IDENTITY, "origin"]
    repeated = table[table.duplicated(keys, keep="first")]
    if len(repeated):
        run = ", ".join(f"{key} {repeated.iloc[0][key]}" for key in keys)
        raise DataError(
            f"{where}: the same run stands twice ({run}). Give repeats of a run their own "
            "transfer_seed or pretrain_seed."
        )


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by what they are; ours before published ones."""
    table = table.assign(_published=table["origin"] != "run")
    table = table.sort_values(["_published", *ORDER], kind="stable", na_position="first")
    return table.drop(columns="_published").reset_index(drop=True)
