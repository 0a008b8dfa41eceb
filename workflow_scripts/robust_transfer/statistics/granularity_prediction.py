"""Does a dataset's granularity say which epsilon is best for it?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from robust_transfer.statistics.pearson import pearson
from robust_transfer.statistics.replicates import with_standards
from robust_transfer.statistics.tables import make_table

#: Columns of the table of predictions.
COLUMNS = ("measure", "n", "r", "p_value", "error", "error_of_median", "gain", "note")


def rank_of_epsilon(epsilon: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the place of epsilons in a grid, 0 for the smallest.

    Epsilons span orders of magnitude and include 0, so neither they nor their logarithms make a
    scale; steps of the study's own grid do.

    Args:
        epsilon: values of the grid.
        grid: the distinct epsilons, in any order.
    """
    return np.searchsorted(np.sort(grid), epsilon).astype(np.float64)


def best_epsilons(accuracy: pd.DataFrame, *, by: str = "accuracy") -> pd.Series:
    """Return the best epsilon of each dataset, as a place in the grid.

    Accuracies are averaged over seeds; each architecture has its own best, and their places are
    averaged.

    Args:
        accuracy: rows of accuracy.csv of one mode, resolution, norm, origin and protocol.
        by: what is best: the column to be largest, `accuracy` or `validation_accuracy`.

    Returns:
        By dataset: the mean place in the grid of all epsilons of the rows.
    """
    table = with_standards(accuracy)
    grid = np.unique(table["epsilon"].to_numpy(dtype=np.float64))
    means = table.groupby(["dataset", "architecture", "epsilon"])[by].mean().reset_index()
    best = means.loc[means.groupby(["dataset", "architecture"])[by].idxmax()].copy()
    best["place"] = rank_of_epsilon(best["epsilon"].to_numpy(dtype=np.float64), grid)
    return best.groupby("dataset")["place"].mean()


def leave_one_out_error(measure: np.ndarray, target: np.ndarray) -> float:
    """Return how far off a straight line is for a dataset that it has not seen.

    Args:
        measure: (n,) of the datasets.
        target: (n,) what is to be predicted.

    Returns:
        Mean absolute error over datasets, each left out in turn; NaN for fewer than 3.
    """
    if len(measure) < 3:
        return np.nan
    errors = []
    for left_out in range(len(measure)):
        rest = np.arange(len(measure)) != left_out
        x, y = measure[rest], target[rest]
        centred = x - x.mean()
        spread = centred @ centred
        slope = centred @ y / spread if spread > 1e-24 * (1 + np.abs(x).max() ** 2) else 0.0
        errors.append(abs(target[left_out] - y.mean() - slope * (measure[left_out] - x.mean())))
    return float(np.mean(errors))


def error_of_median(target: np.ndarray) -> float:
    """Return the same error for the median of the other datasets, which knows no measure."""
    if len(target) < 3:
        return np.nan
    rest = [np.median(np.delete(target, k)) for k in range(len(target))]
    return float(np.abs(target - rest).mean())


def prediction_table(
    measures: Mapping[str, Mapping[str, float]], best: pd.Series, *, confidence: float
) -> pd.DataFrame:
    """Ask of each measure how well it predicts the best epsilon.

    Args:
        measures: dataset -> name -> measure; a dataset without one, or with NaN, does not count.
        best: as `best_epsilons` returns it.
        confidence: of intervals.

    Returns:
        `COLUMNS`, a row a measure, the best predictor first: `n` datasets, their correlation `r`
        with its permutation `p_value`, the leave-one-dataset-out `error` in steps of the grid, the
        error without any measure, and the `gain`: the share by which the measure lowers it (below
        0: it misleads).
    """
    names = sorted({name for values in measures.values() for name in values})
    rows = []
    for name in names:
        pairs = [
            (values[name], best[dataset])
            for dataset, values in sorted(measures.items())
            if dataset in best.index and np.isfinite(values.get(name, np.nan))
        ]
        x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        found = pearson(x, y, confidence=confidence)
        error, without = leave_one_out_error(x, y), error_of_median(y)
        rows.append({
            "measure": name, "n": len(pairs), "r": found.r, "p_value": found.p_value,
            "error": error, "error_of_median": without,
            "gain": 1 - error / without if without > 0 else np.nan, "note": found.note,
        })  # fmt: skip
    table = make_table(rows, COLUMNS)
    return table.sort_values(["error", "measure"], kind="stable").reset_index(drop=True)
