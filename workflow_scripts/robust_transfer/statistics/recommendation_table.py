"""Recommendations for every dataset of a study, from its predictions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.statistics.main_rows import is_main_record
from robust_transfer.statistics.recommendation import Candidate, image_weights, recommend
from robust_transfer.statistics.tables import make_table
from robust_transfer.transfer.predictions import Predictions, load_predictions

#: What candidates compete in, and what makes a candidate; both from the record of a transfer.
CONTEST = ("dataset", "resolution", "protocol", "metric")
CANDIDATE = ("source", "architecture", "norm", "epsilon", "mode")
#: Columns of recommendation.csv.
COLUMNS = (
    *CONTEST, *CANDIDATE, "recommended", "accuracy", "ci_low", "ci_high", "probability_best",
    "regret", "regret_high", "n", "unit", "validation_accuracy", "seconds",
    "images_through_network", "images",
)  # fmt: skip


def recommendation_table(
    prediction_paths: Sequence[str | Path],
    record_paths: Sequence[str | Path],
    *,
    confidence: float,
    draws: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank the backbones and modes for every dataset, and say which to take.

    Args:
        prediction_paths: predictions.npz of each transfer.
        record_paths: transfer.json of each, in the same order.
        confidence: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        `COLUMNS`, one row a candidate, by contest and falling accuracy. `recommended` (1 or 0) is
        chosen by mean validation accuracy, not by test; the rest says what the test split shows
        of it: see `recommend`. `seconds` and `images_through_network` are the mean price of a run.

    Raises:
        DataError: candidates of one contest were scored on different images.
    """
    runs: dict[tuple[Any, ...], dict[tuple[Any, ...], list[tuple[dict[str, Any], Path]]]] = {}
    for path, record_path in zip(prediction_paths, record_paths, strict=True):
        record = json.loads(Path(record_path).read_text(encoding="utf-8"))
        if not is_main_record(record):
            continue
        contest = tuple(record[key] for key in CONTEST)
        candidate = tuple(record[key] for key in CANDIDATE)
        runs.setdefault(contest, {}).setdefault(candidate, []).append((record, Path(path)))
    rows = []
    for contest in sorted(runs):
        ranked = _contest(runs[contest], contest[-1], confidence, draws, seed)
        rows += [dict(zip(CONTEST, contest, strict=True)) | row for row in ranked]
    return make_table(rows, COLUMNS)


def _contest(
    runs: dict[tuple[Any, ...], list[tuple[dict[str, Any], Path]]],
    metric: str, confidence: float, draws: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rank the candidates of one dataset."""
    names = {candidate: "|".join(map(str, candidate)) for candidate in sorted(runs)}
    reference: Predictions | None = None
    candidates, about = {}, {}
    for candidate, name in names.items():
        right = []
        for _, path in runs[candidate]:
            predictions = load_predictions(path)
            reference = reference or predictions
            right.append(_right(path, predictions, reference))
        records = pd.DataFrame([record for record, _ in runs[candidate]])
        candidates[name] = Candidate(records["pretrain_seed"].to_numpy(), np.stack(right))
        about[name] = dict(zip(CANDIDATE, candidate, strict=True)) | {
            key: pd.to_numeric(records[key]).mean() if key in records else np.nan
            for key in ("validation_accuracy", "seconds", "images_through_network")
        }
    assert reference is not None  # every candidate has a run
    table = recommend(
        candidates, confidence=confidence, draws=draws, seed=seed,
        weights=image_weights(reference.labels, metric),
    )  # fmt: skip
    known = all(np.isfinite(each["validation_accuracy"]) for each in about.values())
    chosen = max(names.values(), key=lambda name: about[name]["validation_accuracy"])
    chosen = chosen if known else table["candidate"].iloc[0]
    rows = []
    for found in table.to_dict("records"):
        name = found["candidate"]
        more = {"recommended": float(name == chosen), "images": len(reference.labels)}
        rows.append({str(key): value for key, value in found.items()} | about[name] | more)
    return rows


def _right(path: Path, predictions: Predictions, reference: Predictions) -> np.ndarray:
    """Return (images,) bool: which are right, in the order of the reference."""
    order = np.argsort(predictions.index)
    wanted = np.argsort(reference.index)
    same = len(order) == len(wanted) and np.array_equal(
        predictions.index[order], reference.index[wanted]
    )
    if not (same and np.array_equal(predictions.labels[order], reference.labels[wanted])):
        raise DataError(
            f"{path}: scored on other images, or labels, than the other runs of this dataset. "
            "Transfer all of them from the same image cache."
        )
    right = np.empty(len(order), dtype=bool)
    right[wanted] = (predictions.predicted == predictions.labels)[order]
    return right
