"""Recommendations for every dataset of a study, from its accuracies and right images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.statistics.recommendation import Candidate, image_weights, recommend
from robust_transfer.statistics.right_images import places, unpacked
from robust_transfer.statistics.tables import make_table

#: What candidates compete in, and what makes a candidate.
CONTEST = ("dataset", "resolution", "protocol", "metric")
CANDIDATE = ("source", "architecture", "norm", "epsilon", "mode")
#: What is said of a candidate beside, the mean of its runs.
BESIDE = ("validation_accuracy", "seconds", "images_through_network")
#: Columns of recommendation.csv.
COLUMNS = (
    *CONTEST, *CANDIDATE, "recommended", "accuracy", "ci_low", "ci_high", "probability_best",
    "regret", "regret_high", "n", "unit", "validation_accuracy", "seconds",
    "images_through_network", "images",
)  # fmt: skip


def recommendation_table(
    accuracy: pd.DataFrame,
    right: Mapping[str, np.ndarray],
    *,
    confidence: float,
    draws: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank the backbones and modes for every dataset, and say which to take.

    Args:
        accuracy: rows of accuracy.csv.
        right: what `right_images` found of the same runs.
        confidence: of the intervals.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        `COLUMNS`, one row a candidate, by contest and falling accuracy. `recommended` (1 or 0) is
        chosen by mean validation accuracy, not by test; the rest says what the test split shows
        of it: see `recommend`. `seconds` and `images_through_network` are the mean price of a run.
    """
    rows = []
    for dataset, resolution in places(right):
        numbers, matrix, labels = unpacked(right, dataset, resolution)
        runs = accuracy.loc[numbers].assign(run=range(len(numbers)))
        for (protocol, metric), contest in runs.groupby(["protocol", "metric"]):
            about = dict(zip(CONTEST, (dataset, resolution, protocol, metric), strict=True))
            weights = image_weights(labels, str(metric))
            ranked = _contest(contest, matrix, weights, confidence, draws, seed)
            rows += [about | row | {"images": len(labels)} for row in ranked]
    return make_table(rows, COLUMNS)


def _contest(
    runs: pd.DataFrame,
    right: np.ndarray,
    weights: np.ndarray | None,
    confidence: float,
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rank the candidates of one dataset."""
    candidates: dict[str, Candidate] = {}
    about: dict[str, dict[str, Any]] = {}
    for key, mine in runs.groupby(list(CANDIDATE), dropna=False):
        name = "|".join(map(str, key))
        candidates[name] = Candidate(
            mine["pretrain_seed"].to_numpy(np.int64), right[mine["run"].to_numpy()]
        )
        means = {column: float(mine[column].astype(float).mean()) for column in BESIDE}
        about[name] = dict(zip(CANDIDATE, key, strict=True)) | means
    table = recommend(candidates, confidence=confidence, draws=draws, seed=seed, weights=weights)
    known = all(np.isfinite(each["validation_accuracy"]) for each in about.values())
    chosen = max(about, key=lambda name: about[name]["validation_accuracy"])
    chosen = chosen if known else table["candidate"].iloc[0]
    return [
        {str(key): value for key, value in found.items()}
        | about[found["candidate"]]
        | {"recommended": float(found["candidate"] == chosen)}
        for found in table.to_dict("records")
    ]
