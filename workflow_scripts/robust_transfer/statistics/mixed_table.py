"""Mixed models of every study, norm and protocol that a table of accuracies holds."""

from collections.abc import Hashable

import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.statistics.mixed import mixed_model
from robust_transfer.statistics.replicates import citation, with_standards
from robust_transfer.statistics.tables import make_table

#: What the cells of one model share: two norms have no common scale of epsilon.
MODEL = ("origin", "protocol", "source", "norm")
#: Columns of the three tables.
EFFECTS = (
    *MODEL, "term", "estimate", "standard_error", "ci_low", "ci_high", "z", "p_value",
    "odds_ratio",
)  # fmt: skip
DIAGNOSTICS = (*MODEL, "measure", "amount", "note")
RESIDUALS = (*MODEL, "backbone", "dataset", "mode", "epsilon", "accuracy", "observed", "fitted",
             "residual")  # fmt: skip
#: The measure of granularity that enters the model; named beforehand, not the one that fits best.
MEASURE = "separation"


def mixed_tables(
    accuracy: pd.DataFrame, granularity: pd.DataFrame, *, confidence: float
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Fit one model for each of `MODEL` that the table holds.

    Args:
        accuracy: rows of accuracy.csv.
        granularity: rows of granularity.csv; it may be empty. `MEASURE`, averaged over the
            resolutions of a dataset, enters models of our own runs where all datasets have one.
        confidence: of the intervals.

    Returns:
        `EFFECTS`, `DIAGNOSTICS` and `RESIDUALS`. Where no model can be fitted there is one row of
        diagnostics without an amount, and its `note` says why.
    """
    effects, diagnostics, residuals = [], [], []
    table = with_standards(accuracy.assign(origin=citation(accuracy["origin"])))
    for key, group in table.groupby(list(MODEL), dropna=False, sort=True):
        place = dict(zip(MODEL, key, strict=True))
        measures = _measures(granularity) if place["origin"] == "run" else {}
        complete = set(group["dataset"]) <= set(measures) and len(set(measures.values())) > 1
        try:
            fit = mixed_model(
                group, confidence=confidence, granularity=measures if complete else None
            )
        except DataError as error:
            diagnostics.append(place | {"measure": "not fitted", "note": str(error)})
            continue
        rows = fit.diagnostics.rename(columns={"value": "amount"})
        effects += [place | row for row in _records(fit.effects)]
        diagnostics += [place | row for row in _records(rows)]
        residuals += [place | row for row in _records(fit.residuals)]
    return (
        make_table(effects, EFFECTS),
        make_table(diagnostics, DIAGNOSTICS),
        make_table(residuals, RESIDUALS),
    )


def _measures(granularity: pd.DataFrame) -> dict[str, float]:
    """Return the finite measure of each dataset."""
    known = granularity[granularity[MEASURE].notna()]
    return {str(k): float(v) for k, v in known.groupby("dataset")[MEASURE].mean().items()}


def _records(table: pd.DataFrame) -> list[dict[str, Hashable]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
