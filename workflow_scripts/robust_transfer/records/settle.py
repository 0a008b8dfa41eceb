"""Which outputs are what their records say, whatever the files' times: content decides.

Before a run, every file that has a record is compared with it. A file whose bytes are those of its
record gets a time within its job's, so that a copied, touched or checked-out tree looks to the
workflow as it did when it was made. A file that is something else, or was made from something else
that no rule makes, is named: its job must run again.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from robust_transfer.records.ledger import Ledger
from robust_transfer.records.provenance import SUFFIX

CLOCK_SKEW = 2.0  # seconds by which clocks of nodes and file servers may differ


@dataclass
class Settlement:
    """What was found.

    Attributes:
        unsound: outputs that are not what their job made of its inputs, each with why, in words.
        fresh: records that were not seen before or have changed, by output.
    """

    unsound: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, dict[str, Any]] = field(default_factory=dict)


def settle(folders: Iterable[str], ledger: Ledger, *, complete: Iterable[str] = ()) -> Settlement:
    """Compare the outputs below some folders with their records, and put their times right.

    Args:
        folders: where to look.
        ledger: what is known of files; it learns what is read here.
        complete: those of the folders where a job's outputs belong together, so that one missing
            file makes the others unsound.

    Returns:
        What was found. Files without a record, and records without a file, are left alone.
    """
    complete = tuple(complete)
    found = Settlement()
    facts = {}
    for folder in folders:
        for record in _records_below(folder):
            output = record.removesuffix(SUFFIX)
            fact = _fact(record, output, ledger, found)
            if fact is not None and (folder in complete or os.path.exists(output)):
                facts[output] = fact | {"complete": folder in complete}
    leaves = {path for fact in facts.values() for path in fact["inputs"] if path not in facts}
    ledger.read_all([*facts, *leaves])
    for output, fact in facts.items():
        why = _unsound(output, fact, facts, ledger)
        if why:
            found.unsound[output] = why
        elif os.path.exists(output):
            _put_time_right(output, fact, ledger)
    return found


def _records_below(folder: str) -> Iterator[str]:
    """Yield the paths of all records below a folder."""
    waiting = [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                elif entry.name.endswith(SUFFIX):
                    yield entry.path


def _fact(record: str, output: str, ledger: Ledger, found: Settlement) -> dict[str, Any] | None:
    """Return the little of a record that settling needs; a new record is kept whole as well."""
    fact = ledger.fact(record)
    if fact is not None:
        return fact
    try:
        whole = json.loads(Path(record).read_text(encoding="utf-8"))
        fact = {
            "sha256": whole["output"]["sha256"],
            "inputs": {each["path"]: each["sha256"] for each in whole["inputs"]},
            "outputs": [each["path"] for each in whole["outputs"]],
            "start": datetime.fromisoformat(whole["start"]).timestamp(),
            "end": datetime.fromisoformat(whole["end"]).timestamp(),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no record that we can read is as good as none
    if os.path.normpath(whole["output"]["path"]) != os.path.normpath(output):
        return None  # copied from elsewhere: it speaks of another file
    found.fresh[output] = whole
    ledger.note(record, fact)
    return fact


def _unsound(
    output: str, fact: dict[str, Any], facts: dict[str, dict[str, Any]], ledger: Ledger
) -> str | None:
    """Say in words what is wrong with an output, or return None."""
    if not os.path.exists(output):
        return "is gone, though what was made with it is still there"
    if ledger.sha256(output) != fact["sha256"]:
        return "is not what its job made: it was changed since, or damaged"
    gone = [path for path in fact["outputs"] if fact["complete"] and not os.path.exists(path)]
    if gone:
        return f"belongs together with {gone[0]}, which is gone"
    for path, digest in fact["inputs"].items():
        # An input that a rule makes may be newer for good reasons; the workflow sees to those.
        if path not in facts and os.path.exists(path) and ledger.sha256(path) != digest:
            return f"was made from {path}, which has changed since"
    return None


def _put_time_right(output: str, fact: dict[str, Any], ledger: Ledger) -> None:
    """Give a file a time within its job's; a file that belongs to someone else keeps its own."""
    time = os.stat(output).st_mtime
    if not fact["start"] - CLOCK_SKEW <= time <= fact["end"] + CLOCK_SKEW:
        with contextlib.suppress(OSError):
            ledger.set_time(output, fact["end"])
