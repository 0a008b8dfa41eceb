"""Check of statistics: average precisions computed a second time, and the table of detectors."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from robust_transfer.audit.checks import Check
from robust_transfer.audit.evidence import Evidence, arrays, differences
from robust_transfer.audit.plan import Job
from robust_transfer.audit.second_precision import average_precisions
from robust_transfer.audit.statistics import Row, compared, judged, key_of, read_rows, same

KEYS = ("backbone", "dataset", "mode", "transfer_seed")
#: Keys of scores.json that are no columns of detection.csv, or under another name.
APART = ("schema_version", "scores", "detector", "processes")


def precision(evidence: Evidence) -> Iterator[Check]:
    """Compute every average precision from detections once more, and compare the table."""
    for job in evidence.plan.with_output("scores", "shown"):
        (path,) = job.outputs["scores"]
        cache = _cache(evidence, job)
        if cache and evidence.here(path, *job.needed, cache["objects"], cache["shapes"]):
            check = judged(path, "detections", _scores(evidence, job, path, cache))
            yield replace(check, spoils=tuple(job.files) if check.spoils else ())
    for job in evidence.plan.with_output("detection"):
        (path,) = job.outputs["detection"]
        if evidence.here(path):
            yield judged(path, "scores of detectors", _table(evidence, job, path))


def _cache(evidence: Evidence, job: Job) -> dict[str, str]:
    """Return the files of the scenes that a job reads, by name."""
    maker = evidence.plan.maker.get(job.inputs["scenes"][0])
    return {name: paths[0] for name, paths in maker.outputs.items()} if maker else {}


def _scores(
    evidence: Evidence, job: Job, path: str, cache: dict[str, str]
) -> tuple[int, list[str]]:
    """Compare scores.json with detections, objects and the record of the detector."""
    said, manifest = evidence.json(path), evidence.json(cache["manifest"])
    values = {row["metric"]: row["value"] for row in said["scores"]}
    objects = arrays(evidence.path(cache["objects"]))
    shapes = np.load(evidence.path(cache["shapes"]), allow_pickle=False)
    found = arrays(evidence.path(job.inputs["detections"][0]))
    masks = "mask_bytes" in objects and "mask_bytes" in found
    again: dict[str, Any] = {}
    for kind in ("box", "mask") if masks else ("box",):
        numbers = average_precisions(objects, found, shapes, len(manifest["classes"]), kind)
        again |= {f"{kind}_{name}": value for name, value in numbers.items()}
    wrong = [f"{name}: {values.get(name)}, again {value}" for name, value in again.items()
             if not same(values.get(name), value)]  # fmt: skip
    about = evidence.json(job.inputs["about"][0])
    about |= {"schema_version": said["schema_version"], "n_test": len(found["scored"])}
    about["objects"] = _scored_objects(objects, found["scored"])
    wrong += differences({key: said.get(key) for key in about}, about)
    return len(again) + len(about), wrong


def _scored_objects(objects: dict[str, np.ndarray], images: np.ndarray) -> int:
    """Count the objects of some images that are neither crowds nor difficult."""
    counts = 0
    for image in images.tolist():
        rows = range(*objects["starts"][image : image + 2].tolist())
        counts += sum(not (objects["crowd"][row] or objects["difficult"][row]) for row in rows)
    return counts


def _table(evidence: Evidence, job: Job, path: str) -> tuple[int, list[str]]:
    """Compare detection.csv with every scores.json, value for value."""
    rows, unknown = read_rows(evidence.path(path)), set()
    again: list[Row] = []
    accuracy = {said["backbone"]: said["source_accuracy"] for record in job.inputs["backbones"]
                if evidence.here(record) for said in [evidence.json(record)]}  # fmt: skip
    for scores in job.inputs["scores"]:
        if evidence.here(scores):
            again += _rows(evidence.json(scores), accuracy)
        elif scores in evidence.plan.maker:
            place = evidence.plan.maker[scores].wildcards
            names = (place["backbone"], place["scenes"], place["detector"], float(place["seed"]))
            unknown.add(names)
    keys = (*KEYS, "metric")
    rows = [row for row in rows if key_of(row, KEYS) not in unknown]
    if job.title in evidence.stale:  # its rows are those of another grid
        grid, have = ({key_of(row, keys) for row in part} for part in (again, rows))
        rows = [row for row in rows if key_of(row, keys) in grid]
        again = [row for row in again if key_of(row, keys) in have]
    return compared(rows, again, keys)


def _rows(said: dict[str, Any], accuracy: dict[str, float]) -> Iterator[Row]:
    """Yield the rows that one scores.json should have in the table; numbers must be equal."""
    about = {key: value for key, value in said.items() if key not in APART}
    about |= {"mode": said["detector"], "protocol": "detection", "origin": "run"}
    if said["backbone"] in accuracy:
        about["source_accuracy"] = accuracy[said["backbone"]]
    for score in said["scores"]:
        numbers = {"accuracy": score["value"], **score}
        del numbers["value"]
        row = about | numbers
        yield {key: (float(value), 0.0) if isinstance(value, int | float) and key not in KEYS
               else value for key, value in row.items()}  # fmt: skip
