"""By how much a recommended candidate is ahead of what else could be taken."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from robust_transfer.figures.results import rows_of
from robust_transfer.figures.summary import recommended_text
from robust_transfer.report.words import interval, number


def comparisons(
    recommendation: pd.DataFrame, abouts: Sequence[Mapping[str, Any]], *, confidence: float
) -> list[list[str]]:
    """Say of each exported model how good it is, and how far from the best of the others.

    Args:
        recommendation: the rows of recommendation.csv.
        abouts: records of exported models: `dataset` and `resolution`.
        confidence: of the intervals.

    Returns:
        Sentences, a list a model; accuracies are means over the runs of a candidate, by the
        dataset's metric.
    """
    said = []
    for about in abouts:
        same = recommendation["protocol"] == "clean"
        for key in ("dataset", "resolution"):
            same &= recommendation[key] == about[key]
        said.append(_one(recommendation[same], confidence))
    return said


def _one(candidates: pd.DataFrame, confidence: float) -> list[str]:
    """Compare the recommended row of one contest with the best standard and robust ones."""
    taken = candidates[candidates["recommended"] == 1]
    if taken.empty:
        return []
    (own,) = rows_of(taken)
    said = [
        f"{recommended_text(own)}: {number(100 * own.accuracy)}% right on the test images, a mean "
        f"over {int(own.n)} runs ({100 * confidence:g}% interval "
        f"{interval(own.ci_low, own.ci_high, scale=100)}). Validation chose it among "
        f"{len(candidates)} candidates; it is the best of them with probability "
        f"{number(own.probability_best, 2)}."
    ]
    others = candidates[candidates["recommended"] != 1]
    kinds = {"standard": others["epsilon"] == 0, "robust": others["epsilon"] > 0}
    for kind, rows in ((kind, others[which]) for kind, which in kinds.items()):
        if len(rows):
            best = next(rows_of(rows.sort_values("accuracy", ascending=False, kind="stable")))
            gap = number(100 * (own.accuracy - best.accuracy), 2, sign=True)
            said.append(
                f"The best other {kind} candidate, {recommended_text(best)}, reaches "
                f"{number(100 * best.accuracy)}%: the chosen one differs by {gap} points, at "
                f"{number(own.seconds)} s a run against {number(best.seconds)} s."
            )
    return said
