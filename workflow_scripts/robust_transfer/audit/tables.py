"""Check of tables and report: made again by the study's own code, they must come out the same."""

import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from threadpoolctl import threadpool_limits

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.currency import packages_apart
from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.plan import Job
from robust_transfer.audit.rerun import as_job, run_here
from robust_transfer.files import sha256

#: Stages whose jobs need no network: tables and report. A replay makes the others again: the
#: drawing of figures, and models, which are trained.
STAGES, LEFT_TO_REPLAY = ("analysis", "report"), ("draw_figures", "export_model")
SCORES = ("score_detections",)  # likewise, of another stage
#: Seconds that a job may have taken, as recorded; dearer ones are left to a replay.
AT_MOST = 15.0


def tables(evidence: Evidence) -> Iterator[Check]:
    """Make scores, tables and the report again from the inputs that are here; compare bytes."""
    plan = evidence.plan
    for job in plan.jobs:
        stage, _, _ = job.script.partition("/")
        remade = (stage in STAGES and job.rule not in LEFT_TO_REPLAY) or job.rule in SCORES
        if not remade or job.title in evidence.stale:
            continue
        record = evidence.record(job)
        if record and record["seconds"] <= AT_MOST and evidence.here(*plan.read_by(job)):
            again = _made_again(evidence, job, json.dumps(record["params"]))
            yield from _compared(evidence, job, again, packages_apart(record))


def _compared(
    evidence: Evidence, job: Job, again: tuple[str, tuple[str, ...]], apart: str
) -> Iterator[Check]:
    """Compare the digests of what was made again with those of the study's files."""
    wrong, digests = again
    if wrong:
        yield Check("tables", FAIL, job.title, f"cannot be made again: {wrong}")
        return
    for path, digest in zip(job.files, digests, strict=True):
        if not evidence.known(path):
            continue
        if evidence.hashes[path] == digest:
            yield Check("tables", PASS, path, "made again, the same bytes")
        elif apart:
            yield Check("tables", WARN, path, f"made again, other bytes; but packages: {apart}")
        else:
            yield Check("tables", FAIL, path, "made again from the same inputs, other bytes")


def _made_again(evidence: Evidence, job: Job, params: str) -> tuple[str, tuple[str, ...]]:
    """Run a job again in a folder of its own; return what went wrong, and digests of outputs."""
    code, _ = evidence.code_of(job)
    question = (code, params, tuple(evidence.hashes[path] for path in job.needed))
    return _remembered(question, _Frozen(evidence, job))


class _Frozen:
    """What `_remembered` needs and may not tell questions apart by."""

    def __init__(self, evidence: Evidence, job: Job) -> None:
        self.evidence, self.job = evidence, job

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.job.title == self.job.title

    def __hash__(self) -> int:
        return hash(self.job.title)


@functools.cache
def _remembered(
    question: tuple[str, str, tuple[str, ...]], frozen: _Frozen
) -> tuple[str, tuple[str, ...]]:
    """Make a job's outputs again; the same code, parameters and inputs are asked once."""
    evidence, job = frozen.evidence, frozen.job
    scripts = (evidence.code / "workflow_scripts").resolve()
    # With one thread, as these jobs have: the last bit of a matrix product depends on it.
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        made = as_job(job, json.loads(question[1]), folder, scripts, threads=1)
        wrong = run_here(scripts / job.script, evidence.plan.handle, made, evidence.root)
        if wrong:
            return wrong, ()
        return "", tuple(sha256(folder / path) for path in job.files)
