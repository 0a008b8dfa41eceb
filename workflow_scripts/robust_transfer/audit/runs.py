"""Checks of transfers and backbones as experiments: selection and replicates."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, arrays, some
from robust_transfer.audit.plan import Job

#: What a mode's recipe lists as candidates, by the word that a record names its choice with.
CANDIDATES = {"penalty": "penalties", "learning_rate": "learning_rates"}


def selection(evidence: Evidence) -> Iterator[Check]:
    """Ask each record what chose, and whether what was chosen could be."""
    for job, _, path in evidence.cells():
        if evidence.here(path):
            yield _choice(job, path, evidence.json(path))
    for job in evidence.plan.with_output("record", "examples"):
        (path,) = job.outputs["record"]
        if evidence.here(path):
            said = evidence.json(path)
            on, kept = said.get("selected_on"), said.get("kept")
            good = on == "validation" and kept in ("best on validation", "imported")
            yield Check("selection", PASS if good else FAIL, path, f"{kept}, chosen on {on}")


def _choice(job: Job, path: str, said: dict[str, Any]) -> Check:
    """Judge what chose the penalty or learning rate of one transfer."""
    on, chosen = said.get("selected_on"), str(said.get("selected"))
    evidence = f"{chosen}, chosen on {on}"
    if on == "none":
        free = said.get("held_out_images") == 0
        words = "no image could be held out" if free else "though images were held out"
        return Check("selection", PASS if free else FAIL, path, f"{chosen}: {words}")
    if on != "validation":
        declared = said.get("protocol") == "paper"
        words = ": protocol paper does as the published code did" if declared else ""
        return Check("selection", WARN if declared else FAIL, path, evidence + words)
    word, _, value = chosen.partition("=")
    candidates = job.params["settings"]["recipe"].get(CANDIDATES.get(word, ""), None)
    if candidates is not None and value not in {f"{one:g}" for one in candidates}:
        return Check("selection", FAIL, path, f"{evidence}, which is none of {candidates}")
    return Check("selection", PASS, path, evidence)


def replicates(evidence: Evidence) -> Iterator[Check]:
    """See that a record is of its own cell and seed, and that no two seeds are one run."""
    same: dict[tuple[str, str], list[str]] = defaultdict(list)
    for job, path, record in evidence.cells():
        if evidence.here(record):
            wrong = _misplaced(job, record, evidence.json(record))
            yield Check("replicates", FAIL if wrong else PASS, record, wrong or "its own run")
        if evidence.here(path):
            same[job.title, evidence.hashes[path]].append(path)
    for job in evidence.plan.with_output("detections", "about"):
        (path,), (record,) = job.outputs["detections"], job.outputs["about"]
        if evidence.here(record):
            wrong = _misplaced_detector(job, evidence.json(record))
            spoils = (record,) if wrong else ()
            said = wrong or "its own run"
            yield Check("replicates", FAIL if wrong else PASS, record, said, spoils)
        if evidence.here(path):
            same[_but_the_seed(job), evidence.hashes[path]].append(path)
    for (title, _), paths in same.items():
        if len(paths) > 1:
            said = f"identical predictions: they are no replicates: {some(paths)}"
            yield Check("replicates", WARN, title, said)
    yield from _constant(evidence)


def _misplaced(job: Job, path: str, said: dict[str, Any]) -> str:
    """Say in what a transfer's record differs from the job that it lies under."""
    place = job.outputs["records"].index(path)
    expected = {**job.wildcards, "transfer_seed": job.params["settings"]["seeds"][place]}
    return _otherwise(said, expected)


def _misplaced_detector(job: Job, said: dict[str, Any]) -> str:
    """Say in what the record of a detector differs from the job that it lies under."""
    place = job.wildcards
    expected = {key: place[key] for key in ("backbone", "detector")}
    return _otherwise(said, expected | {"dataset": place["scenes"],
                                        "transfer_seed": int(place["seed"])})  # fmt: skip


def _but_the_seed(job: Job) -> str:
    """Name what the seeds of a detector have in common."""
    shared = {key: value for key, value in job.wildcards.items() if key != "seed"}
    return " ".join([job.rule, *(f"{key}={value}" for key, value in shared.items())])


def _otherwise(said: dict[str, Any], expected: dict[str, Any]) -> str:
    """Say what a record says otherwise than its place."""
    wrong = {key: value for key, value in expected.items() if said.get(key) != value}
    return some(f"{key} is {said.get(key)}, its place says {value}" for key, value in wrong.items())


def _constant(evidence: Evidence) -> Iterator[Check]:
    """Name predictions that give every image the same logits: nothing was learned or read."""
    for _, path, _ in evidence.cells():
        if evidence.here(path):
            logits = arrays(evidence.path(path))["logits"]
            if len(logits) > 1 and (logits == logits[0]).all():
                yield Check("replicates", WARN, path, "every image has the same logits")
