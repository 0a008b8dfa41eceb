"""Check of statistics: accuracies, tests and correlations computed a second time.

The second implementation shares no line with `robust_transfer.statistics`: it reads CSV and arrays
by itself and computes with SciPy and loops.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from robust_transfer.audit.checks import FAIL, PASS, Check
from robust_transfer.audit.evidence import Evidence, some
from robust_transfer.audit.plan import Job
from robust_transfer.audit.second_correlations import correlations
from robust_transfer.audit.second_scores import scores
from robust_transfer.audit.second_selection import selected_tests
from robust_transfer.audit.second_tests import welch_tests
from robust_transfer.errors import DataError

Row = dict[str, Any]
#: Two computations of one number may differ by rounding, and by the search for a root.
RELATIVE, ABSOLUTE = 1e-7, 1e-9
CELL = ("backbone", "dataset", "resolution", "mode", "protocol")
BUDGETS = ("label_budget", "trainable_blocks")
PLACE = ("mode", "dataset", "resolution", "norm", "source", "protocol", "metric", "origin")

Second = Callable[[list[Row], float], list[Row]]
#: Tables by the name of their output: what computes them again, and what tells rows apart.
TABLES: dict[str, tuple[Second, tuple[str, ...]]] = {
    "welch": (welch_tests, (*PLACE, "architecture", "epsilon")),
    "selected": (selected_tests, (*PLACE, "architecture")),
    "pearson": (correlations, (*PLACE, "epsilon")),
}
#: The test that a table is of, as `analysis.tests` of the config names it.
TESTS = {"welch": "welch", "selected": "welch", "pearson": "pearson"}


def statistics(evidence: Evidence) -> Iterator[Check]:
    """Compute every accuracy from predictions, and every test from accuracies, once more."""
    for job in evidence.plan.with_output("accuracy"):
        (path,) = job.outputs["accuracy"]
        if evidence.here(path):
            yield judged(path, "predictions and records", _accuracies(evidence, job, path))
    for name, (second, keys) in TABLES.items():
        for job in evidence.plan.with_output(name):
            (path,), (accuracy,) = job.outputs[name], job.inputs["accuracy"]
            detections = job.inputs.get("detection", []) if name == "welch" else []
            record = evidence.record(job)
            if record and evidence.here(path, accuracy, *detections):
                settings = record["params"]["settings"]
                wanted = TESTS[name] in settings["tests"]
                rows = counted(read_rows(evidence.path(accuracy)))
                for other in detections:
                    rows += detectors_tested(read_rows(evidence.path(other)))
                again = second(rows, settings["confidence"]) if wanted else []
                found = read_rows(evidence.path(path))
                yield judged(path, accuracy, compared(found, again, keys))


def judged(path: str, source: str, found: tuple[int, list[str]]) -> Check:
    """Make a check of a number of compared values and the differences."""
    values, wrong = found
    if wrong:
        said = f"computed again from {source}: {some(wrong)}"
        return Check("statistics", FAIL, path, said, (path,))
    return Check("statistics", PASS, path, f"{values} values computed again from {source}")


def read_rows(path: str | Path) -> list[Row]:
    """Read a CSV file: numbers as floats, empty cells as None, all else as text."""
    with Path(path).open(encoding="utf-8-sig", newline="") as stream:
        lines = (line for line in stream if not line.startswith("#"))
        return [{key: _value(key, text) for key, text in row.items()}
                for row in csv.DictReader(lines)]  # fmt: skip


def counted(rows: list[Row]) -> list[Row]:
    """Leave out what no statistic counts: few labels, few trained blocks, no pretraining."""
    return [
        row for row in rows
        if {row.get(key) or "all" for key in BUDGETS} == {"all"} and row.get("source") != "none"
    ]  # fmt: skip


def detectors_tested(rows: list[Row]) -> list[Row]:
    """Keep the average precision that robust and standard detectors are compared by."""
    return [row for row in counted(rows) if row["metric"] in ("box_ap", "mask_ap")]


def _value(key: str | None, text: str | None) -> Any:
    text = (text or "").strip()
    if text in ("", "nan", "NaN", "NA"):
        return None
    if key == "resolution":  # "32" is a name
        return text
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except ValueError:
        return text


def compared(found: list[Row], again: list[Row], keys: tuple[str, ...]) -> tuple[int, list[str]]:
    """Compare the rows of a table with those computed again, column by column of the latter.

    Args:
        found: rows of the table.
        again: rows computed again, with some of its columns.
        keys: what tells rows apart.

    Returns:
        How many values were compared, and the differences in words.
    """
    theirs = {key_of(row, keys): row for row in found}
    mine = {key_of(row, keys): row for row in again}
    wrong = [f"no row {', '.join(map(str, key))}" for key in mine.keys() - theirs.keys()]
    wrong += [f"a row too many: {', '.join(map(str, key))}" for key in theirs.keys() - mine.keys()]
    if len(theirs) < len(found):
        wrong.append("a row stands twice")
    count = 0
    for key in sorted(mine.keys() & theirs.keys(), key=str):
        for column, value in mine[key].items():
            count += 1
            if not same(theirs[key].get(column), value):
                where = " ".join(str(part) for part in key if part is not None)
                wrong.append(f"{column} of {where}: {theirs[key].get(column)}, again {value}")
    return count, wrong


def key_of(row: Row, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Return what tells a row apart."""
    return tuple(row.get(key) for key in keys)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values agree; a number computed with an error of its own says how large."""
    one, other = (None if isinstance(v, float) and math.isnan(v) else v for v in (one, other))
    if isinstance(other, tuple):  # (estimate, largest error)
        return isinstance(one, float) and abs(one - other[0]) <= other[1]
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return one == other


def _accuracies(evidence: Evidence, job: Job, path: str) -> tuple[int, list[str]]:
    """Compare accuracy.csv with predictions, records and published tables."""
    rows = read_rows(evidence.path(path))
    ours = [row for row in rows if row["origin"] == "run"]
    again, unknown = [], set()
    for cell, predictions, record in evidence.cells():
        seed = cell.params["settings"]["seeds"][cell.outputs["records"].index(record)]
        asked = cell.params["settings"]["cell"]
        place = {key: cell.wildcards[key] for key in CELL} | {"transfer_seed": float(seed)}
        place |= {key: v if (v := asked[key]) == "all" else float(v) for key in BUDGETS}
        if not evidence.here(predictions, record):
            unknown.add(tuple(place.values()))
            continue
        said = evidence.json(record)
        again.append(
            place | _said(said) | scores(evidence.path(predictions), said["metric"])
            | _backbone(evidence, said["backbone"])
        )  # fmt: skip
    keys = (*CELL, "transfer_seed", *BUDGETS)
    if job.title in evidence.stale:  # its rows are those of another grid
        grid = {key_of(row, keys) for row in again}
        ours = [row for row in ours if key_of(row, keys) in grid]
        have = {key_of(row, keys) for row in ours}
        again = [row for row in again if key_of(row, keys) in have]
    ours = [row for row in ours if key_of(row, keys) not in unknown]
    count, wrong = compared(ours, again, keys)
    return count, wrong + _published(evidence, job, [row for row in rows if row not in ours])


def _said(record: Row) -> Row:
    """Return what a transfer's record says of itself, as accuracy.csv has it."""
    kept = (
        "architecture", "source", "norm", "epsilon", "pretrain_seed", "metric", "classes",
        "validation_accuracy", "selected", "selected_on", "seconds", "images_through_network",
        "labelled_images",
    )  # fmt: skip
    return {key: float(v) if isinstance(v := record.get(key), int) else v for key in kept}


def _backbone(evidence: Evidence, name: str) -> Row:
    """Return the source accuracy of a backbone."""
    for job in evidence.plan.with_output("record"):
        (path,) = job.outputs["record"]
        if job.wildcards.get("backbone") == name and evidence.here(path):
            said = json.loads(evidence.path(path).read_text(encoding="utf-8"))
            return {"source_accuracy": said["source_accuracy"]}
    return {}


def _published(evidence: Evidence, job: Job, rows: list[Row]) -> list[str]:
    """Compare published rows with the files that they are from."""
    keys = ("dataset", "mode", "architecture", "epsilon", "accuracy")
    given: list[Row] = []
    for path in job.inputs.get("external", []):
        if not evidence.path(path).is_file():
            raise DataError(f"{path}: no such file.")
        given += read_rows(evidence.path(path))
    theirs = [key_of(row, keys) for row in rows if row["origin"] != "run"]
    mine = [key_of(row, keys) for row in given]
    return [] if sorted(theirs, key=str) == sorted(mine, key=str) else [
        f"published rows: {len(theirs)}, and {len(mine)} others in the files"]  # fmt: skip
