"""Check of the whole: does the workflow, asked what is left to do, say nothing?"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence


@dataclass(frozen=True)
class Question:
    """How to ask the workflow what it would do.

    Attributes:
        command: words of a command that changes nothing.
        idle: what it says when nothing is left.
        doubts: what it says when its own notes of a file are missing.
    """

    command: Sequence[str]
    idle: str
    doubts: str


def workflow(evidence: Evidence, question: Question | None) -> Iterator[Check]:
    """Ask the workflow what is left to do; a study that failed above has its answer already."""
    jobs = len(evidence.plan.jobs)
    if question is None or evidence.spoiled or evidence.stale:
        return
    asked = subprocess.run(
        question.command, cwd=evidence.root, capture_output=True, text=True, check=False
    )
    said = asked.stdout + asked.stderr
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if asked.returncode:
        yield Check("workflow", FAIL, "all jobs", f"it stops: {' '.join(lines[-4:])}")
    elif question.idle not in said:
        told = [line for line in lines if len(line.split()) == 2 and line.split()[1].isdigit()]
        yield Check("workflow", WARN, "all jobs", f"it would run: {', '.join(told)}")
    elif question.doubts in said:
        doubt = next(line for line in lines if question.doubts in line)
        yield Check("workflow", WARN, "all jobs", doubt)
    else:
        yield Check("workflow", PASS, "all jobs", f"{question.idle} ({jobs} jobs)")
