"""Checks of files as bytes: completeness, records, integrity, custody."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, some
from robust_transfer.audit.plan import Job
from robust_transfer.records.provenance import SCHEMA_VERSION, SUFFIX


def completeness(evidence: Evidence) -> Iterator[Check]:
    """Compare the files that the config asks for with those that are there."""
    plan = evidence.plan
    for job in plan.jobs:
        for path in job.files:
            where = evidence.path(path)
            if path in plan.by_hash:
                yield Check("completeness", PASS, path, "left out of the bundle, known by hash")
            elif not where.is_file():
                yield Check("completeness", FAIL, path, f"missing: {job.rule} makes it", (path,))
            elif not where.stat().st_size:
                yield Check("completeness", FAIL, path, "empty: 0 bytes", (path,))
            else:
                yield Check("completeness", PASS, path, f"{where.stat().st_size} bytes")
    yield from _beside_the_plan(evidence)


def _beside_the_plan(evidence: Evidence) -> Iterator[Check]:
    """Name what lies in the study's folders and belongs to nothing."""
    plan = evidence.plan
    folders = {plan.results} | {
        str(Path(path).parent) for path in plan.maker if not path.startswith(f"{plan.results}/")
    }
    # Verdicts and measurements of a machine: no result depends on them.
    apart = (f"{plan.results}/audit/", f"{plan.results}/benchmark/")
    for folder in sorted(folders):
        for where in sorted(evidence.path(folder).rglob("*")):
            path = where.relative_to(evidence.root).as_posix()
            if not where.is_file() or path.startswith(apart):
                continue
            planned = path in plan.maker or path.removesuffix(SUFFIX) in plan.maker
            if not planned and where.suffix != ".log":
                unfinished = where.name.startswith(".") or ".unfinished" in path
                said = "unfinished: a job was stopped, or is running" if unfinished else (
                    "extra: no job of this config makes it")  # fmt: skip
                yield Check("completeness", WARN, path, said)


def records(evidence: Evidence) -> Iterator[Check]:
    """Ask for a record beside every file, and for agreement among the records of one job."""
    shared: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, job in evidence.plan.maker.items():
        if path in evidence.spoiled:
            continue
        record = evidence.records[path]
        if record is None:
            yield Check("records", FAIL, path, f"no record {path}{SUFFIX}", (path,))
            continue
        wrong = _faults(path, job, record)
        if wrong:
            yield Check("records", FAIL, path, wrong, (path,))
            continue
        rest = {key: value for key, value in record.items() if key != "output"}
        shared[job.title].append((path, json.dumps(rest, sort_keys=True)))
    for title, told in shared.items():
        versions = {text for _, text in told}
        if len(versions) == 1:
            yield Check("records", PASS, title, f"{len(told)} records agree")
            continue
        paths = tuple(path for path, _ in told)
        said = f"the records of one job contradict each other: {_contradiction(versions)}"
        yield Check("records", FAIL, title, said, paths)


def _faults(path: str, job: Job, record: dict) -> str:
    """Say what makes a record no record of this file."""
    expected = {"schema_version": SCHEMA_VERSION, "rule": job.rule, "wildcards": job.wildcards}
    for key, value in expected.items():
        if record.get(key) != value:
            return f"its record says {key} {record.get(key)}, expected {value}"
    output = record.get("output")
    outputs = record.get("outputs")
    if not isinstance(output, dict) or not isinstance(outputs, list) or output not in outputs:
        return "its record lists other outputs than it describes"
    if output.get("path") != path:
        return f"its record is of another file: {output.get('path')}"
    return ""


def _contradiction(versions: set[str]) -> str:
    """Name the keys in which records differ."""
    told = [json.loads(text) for text in versions]
    keys = sorted({key for record in told for key in record})
    return some(key for key in keys if len({json.dumps(r.get(key)) for r in told}) > 1)


def integrity(evidence: Evidence) -> Iterator[Check]:
    """Hash every file again."""
    for path in evidence.plan.maker:
        if not evidence.known(path):
            continue
        output = (evidence.records[path] or {})["output"]
        found = evidence.hashes[path]
        if found == output["sha256"]:
            yield Check("integrity", PASS, path, f"sha256 {found[:16]}")
        else:
            said = f"sha256 {found[:16]}, its record says {output['sha256'][:16]}"
            size = None if path in evidence.plan.by_hash else evidence.path(path).stat().st_size
            if size not in (None, output["bytes"]):
                said += f"; {size} bytes, the record says {output['bytes']}"
            yield Check("integrity", FAIL, path, f"changed after it was written: {said}", (path,))


def custody(evidence: Evidence) -> Iterator[Check]:
    """Compare what each job read with what is there: a chain from images to report."""
    readers: dict[str, list[tuple[Job, str]]] = defaultdict(list)
    for job in evidence.plan.jobs:
        record = evidence.record(job)
        for entry in record["inputs"] if record else ():
            readers[entry["path"]].append((job, entry["sha256"]))
    for path, told in sorted(readers.items()):
        if path in evidence.spoiled:
            continue
        if path not in evidence.hashes:
            if path in evidence.plan.maker or not evidence.path(path).exists():
                said = f"read by {told[0][0].title}, and not in the plan or gone"
                yield Check("custody", WARN, path, said)
            continue
        others = [job.title for job, digest in told if digest != evidence.hashes[path]]
        if others:
            said = f"these read other bytes than are here now: {some(others)}"
            yield Check("custody", FAIL, path, said, (path,))
        else:
            yield Check("custody", PASS, path, f"read as it is by {len(told)} jobs")
