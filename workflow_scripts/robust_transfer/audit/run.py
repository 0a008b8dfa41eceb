"""The audit: all checks, in order, and what they say on disk."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from robust_transfer.audit.checks import FAIL, PASS, SCHEMA_VERSION, Check, as_record
from robust_transfer.audit.claims import claims
from robust_transfer.audit.currency import currency, environment
from robust_transfer.audit.data import data
from robust_transfer.audit.detectors import precision
from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.files import completeness, custody, integrity, records
from robust_transfer.audit.page import page
from robust_transfer.audit.plan import Plan
from robust_transfer.audit.runs import replicates, selection
from robust_transfer.audit.scenes import scenes
from robust_transfer.audit.statistics import statistics
from robust_transfer.audit.tables import tables
from robust_transfer.audit.weights import weights
from robust_transfer.audit.workflow import Question, workflow
from robust_transfer.errors import UserError
from robust_transfer.files import write_json, write_text

#: A check that cannot go on has failed; it must not keep the others from being made.
BROKEN = (
    UserError, OSError, ImportError, ValueError, KeyError, TypeError, IndexError, AttributeError,
)  # fmt: skip


def audit(
    plan: Plan,
    *,
    root: str | Path = ".",
    code: str | Path = ".",
    threads: int = 8,
    question: Question | None = None,
) -> list[Check]:
    """Judge a study. Nothing is written and nothing of the study is changed.

    Args:
        plan: what should be there.
        root: the folder that paths of the plan are relative to.
        code: the folder that holds `workflow_scripts` and `envs`.
        threads: files hashed at a time.
        question: how to ask the workflow what is left to do; None: do not ask.

    Returns:
        Every check, in the order of `CHECKS`. A file that one check fails is passed over by the
        later ones, so that each fault is told once, by the check that it belongs to.
    """
    evidence = Evidence(plan, Path(root), Path(code), threads=threads)
    steps: list[tuple[str, Callable[[Evidence], Iterator[Check]]]] = [
        ("completeness", completeness), ("records", records), ("integrity", integrity),
        ("custody", custody), ("currency", currency), ("environment", environment),
        ("data", data), ("data", scenes), ("selection", selection), ("replicates", replicates),
        ("weights", weights), ("statistics", statistics), ("statistics", precision),
        ("tables", tables), ("claims", claims), ("workflow", partial(workflow, question=question)),
    ]  # fmt: skip
    found: list[Check] = []
    for name, step in steps:
        start = time.monotonic()
        told: list[Check] = []
        try:
            for check in step(evidence):
                told.append(check)
        except BROKEN as error:
            said = f"cannot go on: {type(error).__name__}: {error}"
            told.append(Check(name, FAIL, "the check itself", said))
        found += told
        evidence.spoiled |= {path for check in told for path in check.spoils}
        seconds = time.monotonic() - start
        print(f"audit: {name}: {len(told)} checks in {seconds:.1f} s", file=sys.stderr)
    return found


def write_audit(
    found: list[Check], plan: Plan, *, verdict: str | Path, page_to: str | Path
) -> None:
    """Write what the checks said, for machines and for people.

    Args:
        found: all checks.
        plan: of the study.
        verdict: audit.json.
        page_to: audit.html.
    """
    record = as_record(found, study=plan.study)
    write_json(verdict, record)
    write_text(page_to, page(record))


class AuditError(UserError):
    """The audit failed."""


def require_pass(verdict: str | Path, page_at: str | Path, *, note: str | Path) -> None:
    """Say the verdict; refuse to go on when it is FAIL.

    Args:
        verdict: a record of checks: audit.json or replay.json.
        page_at: where a person reads on.
        note: where to write that nothing failed (.json).

    Raises:
        AuditError: a check failed; the first few are named.
    """
    record = json.loads(Path(verdict).read_text(encoding="utf-8"))
    wrong = [c for c in record["checks"] if c["status"] != PASS]
    lines = [f"  {c['status']} {c['name']}: {c['subject']}: {c['evidence']}" for c in wrong[:20]]
    lines += [f"  and {len(wrong) - 20} more" for _ in wrong[20:21]]
    said = "\n".join([f"{record['verdict']}, {len(record['checks'])} checks: {page_at}", *lines])
    if record["verdict"] == FAIL:
        raise AuditError(said)
    print(f"audit: {said}", file=sys.stderr)
    write_json(note, {"schema_version": SCHEMA_VERSION, "verdict": record["verdict"]})
