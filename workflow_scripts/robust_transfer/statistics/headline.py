"""The paper's headline: the best robust backbone beside the best standard one."""

from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.statistics.replicates import citation
from robust_transfer.statistics.tables import make_table

#: Columns of headline.csv.
COLUMNS = (
    "mode", "dataset", "resolution", "best_robust", "accuracy_robust", "best_standard",
    "accuracy_standard", "difference", "selected_on", "source", "protocol", "metric", "origin",
)  # fmt: skip
PLACE = ("mode", "dataset", "resolution", "source", "protocol", "metric", "origin")


def headline_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Set the best robust backbone of each place beside the best standard one.

    The best is over architectures, norms and, for robust ones, epsilons. It is chosen by mean
    validation accuracy where every row of the place has one, and else, as in the paper, by test
    accuracy: such a maximum over many is too high on both sides, and more so on the side with more
    candidates.

    Args:
        accuracy: rows of accuracy.csv.

    Returns:
        `COLUMNS`, one row a place; rows of one publication (`origin` up to a semicolon) belong
        together. Accuracies are means over all seeds, in [0, 1].

    Source: Salman et al. 2020, arXiv:2007.08489, table 1.
    """
    table = accuracy[accuracy["accuracy"].notna()]
    table = table.assign(origin=citation(table["origin"]), robust=table["epsilon"] > 0)
    rows = []
    for key, group in table.groupby(list(PLACE), dropna=False, sort=True):
        place = dict(zip(PLACE, key, strict=True))
        by = "accuracy" if group["validation_accuracy"].isna().any() else "validation_accuracy"
        row: dict[str, Any] = {"selected_on": "test" if by == "accuracy" else "validation"}
        for robust, side in ((True, "robust"), (False, "standard")):
            row |= _best(group[group["robust"] == robust], by, side)
        row["difference"] = row["accuracy_robust"] - row["accuracy_standard"]
        rows.append(place | row)
    order = ["origin", "resolution", "mode", "dataset", "source", "protocol", "metric"]
    return make_table(rows, COLUMNS).sort_values(order, kind="stable").reset_index(drop=True)


def _best(rows: pd.DataFrame, by: str, side: str) -> dict[str, Any]:
    """Return name and accuracy of the best backbone of a side; of equals, the first by name."""
    if rows.empty:
        return {f"best_{side}": None, f"accuracy_{side}": np.nan}
    keys = ["architecture", "norm", "epsilon"]
    columns = list(dict.fromkeys([by, "accuracy"]))
    means = rows.groupby(keys, dropna=False)[columns].mean().reset_index()
    best = means.iloc[int(means[by].to_numpy().argmax())]
    name = best["architecture"]
    if best["epsilon"] > 0:
        name = f"{name}, {best['norm']} {best['epsilon']:g}"
    return {f"best_{side}": name, f"accuracy_{side}": float(best["accuracy"])}
