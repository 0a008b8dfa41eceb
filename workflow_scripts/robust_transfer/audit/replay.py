"""Replay: some jobs run again, from the study's own inputs, into another folder, and compared."""

import math
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check, verdict
from robust_transfer.audit.compare import compare_files
from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.plan import Job
from robust_transfer.audit.rerun import run_apart
from robust_transfer.errors import ConfigError, did_you_mean
from robust_transfer.files import write_json
from robust_transfer.records.machine import environment

SCHEMA_VERSION = 1


def draw_jobs(evidence: Evidence, wanted: Sequence[str], *, seconds: float, seed: int) -> list[Job]:
    """Choose what to replay.

    Args:
        evidence: of the study.
        wanted: rules or files; none: a draw by cost and seed.
        seconds: what a draw may cost, as recorded, beyond one job of each rule.
        seed: of the draw.

    Returns:
        The jobs; a draw has the cheapest job of each rule, then others in random order, a
        cheap one more likely than a dear one, as long as the time allows.

    Raises:
        ConfigError: something wanted is no rule and no file of the study.
    """
    known = {job.title: job for job in evidence.plan.jobs if evidence.record(job)}
    if wanted:
        return [known[title] for title in _named(evidence, wanted) if title in known]
    cost = {title: float((evidence.record(job) or {})["seconds"]) for title, job in known.items()}
    chance = random.Random(seed)
    first: dict[str, str] = {}
    for title in sorted(known, key=lambda title: (cost[title], title)):
        first.setdefault(known[title].rule, title)
    # Efraimidis and Spirakis 2006: these keys draw without replacement by weight 1 / cost.
    keys = {title: math.log(chance.random()) * max(cost[title], 0.1) for title in sorted(known)}
    rest = sorted((title for title in known if title not in first.values()), key=lambda t: -keys[t])
    drawn, left = list(first.values()), seconds
    for title in rest:
        if cost[title] <= left:
            drawn.append(title)
            left -= cost[title]
    return [known[title] for title in drawn]


def _named(evidence: Evidence, wanted: Sequence[str]) -> Iterator[str]:
    """Yield the titles of the jobs of named rules or files."""
    plan = evidence.plan
    rules = {job.rule for job in plan.jobs}
    for name in wanted:
        if name in plan.maker:
            yield plan.maker[name].title
        elif name in rules:
            yield from (job.title for job in plan.jobs if job.rule == name)
        else:
            hint = did_you_mean(name, [*rules, *plan.maker])
            raise ConfigError(f"audit.replay: '{name}' is no rule and no file of the study.{hint}")


def replay(evidence: Evidence, jobs: Sequence[Job], folder: Path) -> list[Check]:
    """Run jobs again and compare every output.

    Args:
        evidence: of the study.
        jobs: which.
        folder: where outputs go; what lies there is removed.

    Returns:
        One check an output: PASS for the same bits but for clocks, and, for what a GPU made,
        within the tolerance of `compare`; FAIL for more; WARN for a job on another machine.
    """
    found = []
    for place, job in enumerate(jobs, 1):
        print(f"replay: {place} of {len(jobs)}: {job.title}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        record = evidence.record(job) or {}
        absent = [each for each in evidence.plan.read_by(job) if not evidence.path(each).is_file()]
        if absent:
            found.append(Check("replay", WARN, job.title, f"not run: {absent[0]} is not here"))
            continue
        wrong = run_apart(job, record, folder, root=evidence.root, code=evidence.code,
                          handle=evidence.plan.handle)  # fmt: skip
        if wrong:
            found.append(Check("replay", FAIL, job.title, f"does not run: {wrong}"))
            continue
        found += [_judge(evidence, record, path, folder) for path in job.files]
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _judge(evidence: Evidence, record: dict, path: str, folder: Path) -> Check:
    """Compare one output with the one that was made again."""
    if not evidence.path(path).is_file():
        return Check("replay", WARN, path, "made again; the study's own is not here")
    difference = compare_files(evidence.path(path), folder / path)
    told = record["environment"]
    on_gpu = told.get("device", "cpu") != "cpu"
    elsewhere = [key for key in ("processor", "python") if told[key] != environment()[key]]
    if difference.same:
        return Check("replay", PASS, path, difference.words)
    if on_gpu and difference.near:
        return Check("replay", PASS, path, f"within the tolerance of a GPU: {difference.words}")
    if elsewhere and difference.near:
        said = f"within the tolerance of another {elsewhere[0]}: {difference.words}"
        return Check("replay", WARN, path, said)
    return Check("replay", FAIL, path, difference.words)


def write_replay(found: Sequence[Check], jobs: Sequence[Job], to: str | Path, study: str) -> None:
    """Write what a replay found.

    Args:
        found: its checks.
        jobs: what was run again.
        to: replay.json.
        study: its name.
    """
    kept = ("name", "status", "subject", "evidence")
    write_json(
        to,
        {
            "schema_version": SCHEMA_VERSION,
            "study": study,
            "verdict": verdict(found),
            "jobs": [job.title for job in jobs],
            "checks": [{key: getattr(check, key) for key in kept} for check in found],
        },
    )
