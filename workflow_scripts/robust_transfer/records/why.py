"""Why an output is stale, in words, from its record and from what would make it now."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robust_transfer.progress import spell_duration
from robust_transfer.records.provenance import record_path

AGAIN = "its input is made again"
NAMED_OUTPUTS = 3  # of a group of jobs that are stale for the same reasons


@dataclass(frozen=True)
class PlannedJob:
    """A job that would run.

    Attributes:
        rule: its rule.
        outputs: paths of what it makes.
        inputs: paths of what it reads.
        params: its parameters now, by name.
        modules: digests of the modules that its script runs now, by name.
        made_again: those of its inputs that other planned jobs make.
        forced: the user asked for it, stale or not.
    """

    rule: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    modules: Mapping[str, str]
    made_again: tuple[str, ...] = ()
    forced: bool = False


@dataclass(frozen=True)
class Evidence:
    """What else is known.

    Attributes:
        unsound: outputs that are not what their job made, each with why, in words.
        digest: path of a file that exists -> SHA-256 of its bytes.
        config: the checked config, to name its keys.
    """

    unsound: Mapping[str, str] = field(default_factory=dict)
    digest: Callable[[str], str] = lambda path: ""
    config: Mapping[str, Any] = field(default_factory=dict)


def read_record(outputs: Iterable[str]) -> dict[str, Any] | None:
    """Return the first readable record of some outputs of one job."""
    for output in outputs:
        try:
            return json.loads(record_path(output).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None


def reasons(job: PlannedJob, record: Mapping[str, Any] | None, evidence: Evidence) -> list[str]:
    """Say in words why a job would run.

    Args:
        job: the planned job.
        record: what is recorded of its outputs; None: nothing is.
        evidence: what else is known.

    Returns:
        The reasons, the strongest first; at least one.
    """
    gone = [path for path in job.outputs if not Path(path).exists()]
    if record is None:
        found = "was never made" if gone else "lies there without a record of how it was made"
        return [found, *_again(job)]
    said = [
        *(f"{path} {evidence.unsound[path]}" for path in job.outputs if path in evidence.unsound),
        *_code(job, record),
        *_settings(job, record, evidence.config),
        *_inputs(job, record, evidence),
        *(f"{path} was deleted" for path in gone),
        *_again(job),
    ]
    return said or ["you asked for it" if job.forced else "it did not end well the last time"]


def _again(job: PlannedJob) -> list[str]:
    """Name the inputs that are made again first, by what makes them."""
    names = sorted({Path(path).name for path in job.made_again})
    return [f"{AGAIN}: {_some(names)}"] if names else []


def _code(job: PlannedJob, record: Mapping[str, Any]) -> Iterator[str]:
    if record["params"].get("code") == job.params.get("code"):
        return
    before = record.get("modules", {})
    if not before:
        yield "its code changed"
        return
    now = job.modules
    changed = [name for name in now if name in before and now[name] != before[name]]
    for verb, names in (
        ("changed", changed),
        ("is new", [name for name in now if name not in before]),
        ("is no longer used", [name for name in before if name not in now]),
    ):
        yield from (f"module {name} {verb}" for name in names)


def _settings(
    job: PlannedJob, record: Mapping[str, Any], config: Mapping[str, Any]
) -> Iterator[str]:
    """Say which settings differ, by the config key where one alone fits."""
    before = {name: value for name, value in record["params"].items() if name != "code"}
    now = {name: value for name, value in job.params.items() if name != "code"}
    leaves = dict(_leaves(config))
    for path, old, new in differences(before, now):
        named = [key for key, value in leaves.items() if _ends_alike(key, path) and value == new]
        yield f"{named[0] if len(named) == 1 else path}: {_show(old)} -> {_show(new)}"


ABSENT = object()


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where two nests of mappings differ: dotted key, old and new value.

    Args:
        before: builtins.
        now: builtins.
        path: of both, so far.

    Yields:
        Key, old value, new value; `ABSENT` where one side has no such key.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, ABSENT), now.get(key, ABSENT), below)
    elif before != now or type(before) is not type(now):
        yield path, before, now


def _leaves(nest: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(nest, Mapping):
        for key, value in nest.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, nest


def _ends_alike(key: str, path: str) -> bool:
    return key.rpartition(".")[2] == path.rpartition(".")[2]


def _inputs(job: PlannedJob, record: Mapping[str, Any], evidence: Evidence) -> Iterator[str]:
    """Say which inputs differ from those of the record."""
    before = {each["path"]: each["sha256"] for each in record["inputs"]}
    new = [path for path in job.inputs if path not in before]
    dropped = [path for path in before if path not in job.inputs]
    if new:
        yield f"{len(new)} input{'s' * (len(new) > 1)} more: {_some(new)}"
    if dropped:
        yield f"{len(dropped)} input{'s' * (len(dropped) > 1)} fewer: {_some(dropped)}"
    for path in job.inputs:
        known = path in before and path not in job.made_again and Path(path).exists()
        if known and evidence.digest(path) != before[path]:
            yield f"input {path} has another content"


def _some(names: list[str]) -> str:
    more = len(names) - NAMED_OUTPUTS
    return ", ".join(names[:NAMED_OUTPUTS]) + (f" and {more} more" if more > 0 else "")


def _show(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain_plan(jobs: Iterable[PlannedJob], evidence: Evidence) -> str:
    """Write what is stale, why, and how long it took the last time.

    Args:
        jobs: what would run, in order.
        evidence: what else is known.

    Returns:
        Text for a terminal: a paragraph for each group of jobs of one rule with the same
        reasons, then the sum.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[PlannedJob]] = {}
    seconds: dict[str, list[float | None]] = {}
    for job in jobs:
        record = read_record(job.outputs)
        said = tuple(reasons(job, record, evidence))
        groups.setdefault((job.rule, said), []).append(job)
        seconds.setdefault(job.rule, []).append(record["seconds"] if record else None)
    if not groups:
        return "Nothing is stale."
    lines = []
    follows: dict[str, int] = {}
    for (rule, said), members in groups.items():
        if all(reason.startswith(AGAIN) for reason in said):
            follows[rule] = follows.get(rule, 0) + len(members)
            continue
        lines.append(f"{rule}, {len(members)} job{'s' * (len(members) > 1)}:")
        lines += [f"  because {reason}" for reason in said]
        outputs = [member.outputs[0] for member in members if member.outputs]
        lines.append(f"  makes {_some(outputs)}")
    if follows:
        counted = [f"{rule} ({count})" for rule, count in follows.items()]
        lines.append(f"What follows from these: {', '.join(counted)}")
    return "\n".join([*lines, _estimate(seconds)])


def _estimate(seconds: Mapping[str, list[float | None]]) -> str:
    """Add up what jobs took before; one that never ran counts as the mean of its rule."""
    total, unknown = 0.0, []
    for rule, each in seconds.items():
        known = [value for value in each if value is not None]
        if known:
            total += sum(known) * len(each) / len(known)
        else:
            unknown.append(rule)
    count = sum(len(each) for each in seconds.values())
    text = f"{count} job{'s' * (count > 1)} in all"
    if total:
        text += f"; by earlier runs, {spell_duration(total)} of work if they ran one by one"
    return text + (f"; never timed: {', '.join(unknown)}" if unknown else "") + "."
