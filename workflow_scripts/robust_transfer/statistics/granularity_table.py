"""granularity.csv and what it predicts: measures of every dataset, from features and images."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.images.cache import fixed_size_array, load_cache
from robust_transfer.statistics.granularity import SAMPLE, measures
from robust_transfer.statistics.granularity_prediction import best_epsilons, prediction_table
from robust_transfer.statistics.replicates import citation, with_standards
from robust_transfer.statistics.tables import make_table

#: Most training images; a mean distance over so many is known to three digits.
MOST_IMAGES = 5_000
#: The measures, in the order of the table.
MEASURES = (
    "classes", "separation", "within_distance", "between_distance", "nearest_mean_margin",
    "nearest_mean_accuracy", "intrinsic_dimension", "high_frequency_energy",
)  # fmt: skip
#: Columns of granularity.csv.
COLUMNS = ("dataset", "resolution", "backbone", "images", *MEASURES)
#: What the datasets of one prediction share.
PLACE = ("mode", "resolution", "norm", "source", "protocol", "origin")
#: Columns of granularity_prediction.csv.
PREDICTION = (
    *PLACE, "measure", "n", "r", "p_value", "error", "error_of_median", "gain", "note",
)  # fmt: skip
#: Columns of granularity_points.csv: what the predictions are made of.
POINTS = (*PLACE, "dataset", "best_epsilon_place", *MEASURES)


def granularity_table(
    feature_records: Sequence[str | Path],
    cache_folders: Sequence[str | Path],
    *,
    most: int = MOST_IMAGES,
) -> pd.DataFrame:
    """Measure every dataset and resolution.

    Args:
        feature_records: features.json of each: `images`, `training_images`, `image_size` and
            `backbone`; beside it features.npy, (n, d), the training images of the cache first.
        cache_folders: of the same datasets, in the same order.
        most: training images measured, drawn with a fixed seed where there are more.

    Returns:
        `COLUMNS`, a row a dataset and resolution; `images` is how many were measured. The energy
        in fine detail is that of at most 2,000 images at the network's input size.

    Raises:
        DataError: features are not those of the cache.
    """
    rows = []
    for path, folder in zip(feature_records, cache_folders, strict=True):
        cache = load_cache(folder)
        about = json.loads(Path(path).read_text(encoding="utf-8"))
        file = np.load(Path(path).with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        if (about["images"], about["training_images"]) != (len(cache), cache.n_train):
            raise DataError(f"{path}: not features of the images of {folder}.")
        index = np.arange(cache.n_train)
        if len(index) > most:
            index = np.sort(np.random.default_rng(0).choice(index, most, replace=False))
        features, backbone, size = file[index], about["backbone"], about["image_size"]
        images = fixed_size_array(cache, index[:SAMPLE], size)
        rows.append(
            {"dataset": cache.dataset, "resolution": cache.resolution, "backbone": backbone,
             "images": len(index)}
            | measures(features, np.asarray(cache.labels)[index], images)
        )  # fmt: skip
    table = make_table(rows, COLUMNS)
    return table.sort_values(["dataset", "resolution"], kind="stable").reset_index(drop=True)


def granularity_points(accuracy: pd.DataFrame, granularity: pd.DataFrame) -> pd.DataFrame:
    """Set the best epsilon of each dataset beside its measures.

    The best epsilon is that of validation accuracy where every row has one, else of accuracy, and
    is counted as a place in the study's grid, 0 for the smallest.

    Args:
        accuracy: rows of accuracy.csv.
        granularity: as `granularity_table` returns it.

    Returns:
        `POINTS`, a row a dataset that was measured, for each of `PLACE` with two epsilons or more.
    """
    rows = []
    for place, group in _places(accuracy):
        known = granularity[granularity["resolution"] == place["resolution"]]
        by = "accuracy" if group["validation_accuracy"].isna().any() else "validation_accuracy"
        best = best_epsilons(group, by=by)
        for row in known[known["dataset"].isin(best.index)].to_dict("records"):
            measured = {name: row[name] for name in MEASURES}
            found = {"dataset": row["dataset"], "best_epsilon_place": best[row["dataset"]]}
            rows.append(place | found | measured)
    return make_table(rows, POINTS)


def granularity_predictions(points: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Ask how well each measure predicts the best epsilon of a dataset left out.

    Args:
        points: as `granularity_points` returns them.
        confidence: of intervals.

    Returns:
        `PREDICTION`: see `prediction_table`; the best predictor first.
    """
    rows = []
    for key, group in points.groupby(list(PLACE), dropna=False, sort=True):
        place = dict(zip(PLACE, key, strict=True))
        by_dataset = group.set_index("dataset")
        values = {
            str(dataset): {name: float(row[name]) for name in MEASURES}
            for dataset, row in by_dataset.iterrows()
        }
        best = by_dataset["best_epsilon_place"]
        found = prediction_table(values, best, confidence=confidence)
        rows += [place | {str(k): v for k, v in row.items()} for row in found.to_dict("records")]
    return make_table(rows, PREDICTION)


def _places(accuracy: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Yield the rows of each of `PLACE` that has a choice of epsilons."""
    table = with_standards(accuracy.assign(origin=citation(accuracy["origin"])))
    for key, group in table.groupby(list(PLACE), dropna=False, sort=True):
        if group["epsilon"].nunique() > 1:
            yield dict(zip(PLACE, key, strict=True)), group
