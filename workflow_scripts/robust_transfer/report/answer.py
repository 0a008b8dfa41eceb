"""The answer in words: verdicts on robust against standard, from the tables alone."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from robust_transfer.figures.results import groups_of, rows_of
from robust_transfer.figures.verdicts import KINDS
from robust_transfer.report.words import (
    backbone_text,
    chosen_epsilons,
    interval,
    number,
    place_text,
    replicates_text,
)

#: What a place has: there one robust epsilon meets standard.
PLACE = ["line", "dataset", "resolution", "norm", "mode", "metric"]


@dataclass(frozen=True)
class Answer:
    """What the report opens with.

    Attributes:
        headline: one sentence over the comparisons of `chosen`, or over all.
        details: sentences on the clearest cases, on all epsilons and on what n counts.
        counts: verdict -> number of comparisons that the headline counts.
        chosen: one row a place, with `verdict` and `row` (its place in the table).
        links: a sentence of `details` -> the row of a table that it says.
        table: the table that the rows are from: welch_selected (epsilon chosen on validation,
            and the test accounts for the choice), or welch (the largest difference of each place).
    """

    headline: str
    details: tuple[str, ...]
    counts: dict[str, int]
    chosen: pd.DataFrame
    links: dict[str, str]
    table: str


def answer(
    welch: pd.DataFrame,
    selected: pd.DataFrame,
    *,
    confidence: float,
    toy: Collection[str],
    table: str = "welch",
) -> Answer:
    """Say which pretraining transfers better, and where that cannot be told.

    Args:
        welch: comparisons at each epsilon, with verdicts; it may be empty.
        selected: comparisons at the epsilon that validation chose, with verdicts.
        confidence: of the intervals.
        toy: names of the datasets that are toys.
        table: name of the table that `welch` is.
    """
    welch = welch.assign(row=range(1, len(welch) + 1))
    if (selected["verdict"] != "untested").any():
        chosen = selected.assign(row=range(1, len(selected) + 1))
        counts, table = count_verdicts(selected), "welch_selected"
    else:
        chosen = _largest(welch)
        counts = count_verdicts(welch)
    overall = _overall(welch) if table == "welch_selected" else ""
    clearest = _clearest(chosen if overall else welch, confidence, toy)
    links = {text: f"{table}-{row}" for text, row in clearest.items()}
    details = (*clearest, overall, _direction(welch), *_units(chosen if overall else welch))
    said = tuple(text for text in details if text)
    return Answer(headline(counts, table == "welch_selected"), said, counts, chosen, links, table)


def count_verdicts(judged: pd.DataFrame) -> dict[str, int]:
    """Return the number of comparisons for each of `KINDS`."""
    return {kind: int((judged["verdict"] == kind).sum()) for kind in KINDS}


def headline(counts: dict[str, int], selected: bool = False) -> str:
    """Say the count of verdicts in one sentence.

    Args:
        counts: number of comparisons for each of `KINDS`.
        selected: whether validation chose the epsilon of each comparison.
    """
    robust, standard, unclear, untested = (counts[kind] for kind in KINDS)
    total, tested = sum(counts.values()), robust + standard + unclear
    if total == 0:
        return (
            "No comparison can be made: the study needs a standard (epsilon 0) and a robust "
            "backbone transferred to the same dataset."
        )
    if tested == 0:
        return (
            f"None of {_comparisons(total)} could be tested: a test needs at least two "
            "replicates on each side."
        )
    one, other, (most, least) = "robust", "standard", (robust, standard)
    if standard > robust:
        one, other, (most, least) = "standard", "robust", (standard, robust)
    if most == 0:
        text = f"no difference can be told from chance in {_comparisons(tested)}"
    else:
        text = (
            f"{one} backbones transfer better in {most} of {_comparisons(tested)}, {other} ones "
            f"in {least or 'none'}"
        )
        text += f"; {unclear} cannot be told apart" if unclear else ""
    text += f"; {untested} could not be tested." if untested else "."
    text = "with epsilon chosen on validation, " * selected + text
    return text[0].upper() + text[1:]


def _comparisons(n: int) -> str:
    return f"{n} comparison{'s' * (n != 1)}"


def sentence(row: Any, confidence: float, toy: Collection[str]) -> str:
    """Say one comparison in full: who, where, by how much, how sure, what n counts.

    Args:
        row: a row of welch.csv with its `verdict`.
        confidence: of the interval.
        toy: names of the datasets that are toys.
    """
    where = place_text(row.dataset, row.resolution, row.mode, toy)
    where += {"box_ap": ", AP of boxes", "mask_ap": ", AP of masks"}.get(row.metric, "")
    robust = backbone_text(row.epsilon, row.norm, chosen_epsilons(row))
    points = 100 * row.difference
    low, high = row.ci_low, row.ci_high
    if row.verdict == "robust":
        verdict = f"{robust} beats standard by {number(points)} points"
    elif row.verdict == "standard":
        verdict = f"standard beats {robust} by {number(-points)} points"
        low, high = -high, -low
    elif row.verdict == "unclear":
        verdict = (
            f"{robust} and standard cannot be told apart: difference "
            f"{number(points, sign=True)} points"
        )
    else:
        verdict = f"{robust} against standard was not tested: {number(points, sign=True)} points"
    span = interval(low, high, scale=100)
    sure = f", {100 * confidence:g}% interval {span}" if span != "none" else ", no interval"
    counted = replicates_text(row.n_robust, row.n_standard, row.replicate)
    if str(row.replicate) == "transfer_seed":
        note = row.note if isinstance(row.note, str) else ""
        counted += f", {note or 'conditional on these backbones'}"
    return f"For {where}, {verdict}{sure}, {counted}."


def _largest(judged: pd.DataFrame) -> pd.DataFrame:
    """Keep the row of the largest difference of each place."""
    rows: list[Any] = [
        group["difference"].idxmax() if group["difference"].notna().any() else group.index[0]
        for _, group in groups_of(judged, PLACE)
    ]
    return judged.loc[sorted(rows)]


def _overall(judged: pd.DataFrame) -> str:
    """Count the verdicts at each single epsilon."""
    counts = count_verdicts(judged)
    words = [f"{n} {KINDS[kind]}" for kind, n in counts.items() if n]
    return f"At each single epsilon, of {_comparisons(len(judged))}: {', '.join(words)}."


def _direction(judged: pd.DataFrame) -> str:
    """Say how many differences point which way, whatever the tests say."""
    differences = judged["difference"].dropna()
    if len(differences) < 2:
        return ""
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    return (
        f"Of these {len(differences)} differences {up} favour robust and {down} favour "
        "standard, whatever their size; the median is "
        f"{number(100 * differences.median(), sign=True)} points."
    )


def _clearest(judged: pd.DataFrame, confidence: float, toy: Collection[str]) -> dict[str, int]:
    """Say the clearest case for each side in full; return sentence -> row of the table."""
    said: dict[str, int] = {}
    for kind in ("robust", "standard", "unclear"):
        rows = judged[judged["verdict"] == kind].sort_values(
            ["p_adjusted", "difference"], kind="stable"
        )
        if len(rows) and not (kind == "unclear" and said):
            first = next(rows_of(rows))
            said[sentence(first, confidence, toy)] = int(first.row)
    return said


def _units(judged: pd.DataFrame) -> list[str]:
    """Say what n counts, and what that limits the inference to."""
    units = judged["replicate"].value_counts()
    decided = judged[judged["verdict"].isin(["robust", "standard"])]["replicate"]
    texts = {
        "pretrain_seed": "{} count{} pretrainings: what they find holds for this way of "
        "pretraining",
        "transfer_seed": "{} count{} transfer seeds: what they find is conditional on the very "
        "backbones that were trained, and says nothing about another pretraining",
        "none": "{} ha{} no replicates",
    }
    ends = {"none": ("s", "ve")}
    parts = [
        texts[unit].format(
            _comparisons(int(units[unit])), ends.get(unit, ("s", ""))[int(units[unit]) > 1]
        )
        for unit in texts
        if unit in units
    ]
    said = ["; ".join(parts) + "."] if parts else []
    if "pretrain_seed" in units and len(decided) and not (decided == "pretrain_seed").any():
        said.append("None of the verdicts for one side or the other counts pretrainings.")
    return said
