"""Checks of then against now: code and config, packages and commits."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, differences, some
from robust_transfer.audit.plan import Job
from robust_transfer.records.machine import normal_name, packages

#: What the rows of one table must share, beside packages: the key, and where a record holds it.
SHARED = ("commit", "python", "device", "deterministic_algorithms", "tf32", "torch_threads")


def currency(evidence: Evidence) -> Iterator[Check]:
    """Compare parameters, inputs and code of each job, as recorded, with those of today."""
    for job in evidence.plan.jobs:
        record = evidence.record(job)
        if record is None:
            continue
        changed = [*_params(job, record), *_inputs(job, record), *_code(evidence, job, record)]
        if changed:
            evidence.stale.add(job.title)
            yield Check("currency", FAIL, job.title, some(changed))
        else:
            yield Check("currency", PASS, job.title, "same code, parameters and inputs as today")


def _params(job: Job, record: dict[str, Any]) -> Iterator[str]:
    then = {key: value for key, value in record["params"].items() if key != "code"}
    now = {key: value for key, value in job.params.items() if key != "code"}
    yield from differences(then, now)


def _inputs(job: Job, record: dict[str, Any]) -> Iterator[str]:
    then, now = {entry["path"] for entry in record["inputs"]}, set(job.needed)
    yield from (f"input {path} no longer asked for" for path in sorted(then - now))
    yield from (f"input {path} not read then" for path in sorted(now - then))


def _code(evidence: Evidence, job: Job, record: dict[str, Any]) -> Iterator[str]:
    digest, modules = evidence.code_of(job)
    if record["params"].get("code") == digest:
        return
    then = record.get("modules") or {}
    changed = [name for name in sorted(then.keys() | modules.keys())
               if then.get(name) != modules.get(name)]  # fmt: skip
    yield f"code changed since: {', '.join(changed) or 'while the job started'}"


def environment(evidence: Evidence) -> Iterator[Check]:
    """Compare packages with the lock and with today's, and all records with each other."""
    recorded = {job.title: evidence.record(job) for job in evidence.plan.jobs}
    told = {title: record for title, record in recorded.items() if record}
    if not told:
        return
    lock = locked(evidence)
    for subject, reference in (("envs/requirements.lock", lock), ("packages of today", _today())):
        apart: dict[str, list[str]] = defaultdict(list)
        for title, record in told.items():
            for name, version in record["environment"]["packages"].items():
                if name in reference and version not in reference[name]:
                    wanted = " or ".join(sorted(reference[name]))
                    apart[f"{name} {version} then, {wanted} here"].append(title)
        said = some(f"{what} ({len(titles)} jobs)" for what, titles in sorted(apart.items()))
        status = WARN if apart else PASS
        yield Check("environment", status, subject, said or f"as {len(told)} jobs had them")
    yield from _uniform(told)


def locked(evidence: Evidence) -> dict[str, set[str]]:
    """Return the versions that the lock allows of each package; several where markers differ."""
    path = evidence.code / "envs/requirements.lock"
    allowed: dict[str, set[str]] = defaultdict(set)
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE):
            allowed[normal_name(name)].add(version)
    return allowed


def packages_apart(record: dict[str, Any]) -> str:
    """Say in which packages a record differs from today; nothing where it does not."""
    now, then = packages(), record["environment"]["packages"]
    apart = (name for name in sorted(then.keys() & now.keys()) if then[name] != now[name])
    return some(f"{name} {then[name]} then, {now[name]} now" for name in apart)


def _today() -> dict[str, set[str]]:
    return {name: {version} for name, version in packages().items()}


def _uniform(told: dict[str, dict[str, Any]]) -> Iterator[Check]:
    """Say whether jobs of one rule, the rows of one table, were made in one way."""
    for key in (*SHARED, "packages"):
        versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for title, record in told.items():
            value = _told(record, key)
            rule = "all rules" if key in ("commit", "python") else record["rule"]
            versions[rule][str(value)].append(title)
        mixed = {rule: ways for rule, ways in versions.items() if len(ways) > 1}
        if not mixed:
            yield Check("environment", PASS, f"{key} of all records", "one and the same")
        for rule, ways in mixed.items():
            least = min(ways.values(), key=len)
            numbers = some(f"{_first(way)} ({len(titles)} jobs)" for way, titles in ways.items())
            said = f"{len(ways)} different: {numbers}; such as {least[0]}"
            yield Check("environment", WARN, f"{key} of {rule}", said)


def _told(record: dict[str, Any], key: str) -> Any:
    if key == "commit":
        return record["git"]["commit"]
    return record["environment"].get(key)


def _first(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:45]}..."
