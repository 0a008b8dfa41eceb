"""Checks of scenes: a cache against its source and its splits, and detections against the cache."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from robust_transfer.audit.checks import FAIL, PASS, Check
from robust_transfer.audit.data import disjoint, other_files, pixels_disjoint, table_of_files
from robust_transfer.audit.evidence import Evidence, arrays, some
from robust_transfer.audit.originals import SAMPLE, digests_of, drawn_evenly, files_again
from robust_transfer.audit.plan import Job
from robust_transfer.detection.detections import Detections, load_detections
from robust_transfer.errors import DataError, UserError
from robust_transfer.images.resize import prepared
from robust_transfer.scenes.cache import SceneCache, load_scene_cache
from robust_transfer.scenes.toy import ToyScenes, toy_objects
from robust_transfer.scenes.write import as_columns
from robust_transfer.toy_world.scenes import render_scene

Table = list[dict[str, str]]


def scenes(evidence: Evidence) -> Iterator[Check]:
    """Judge every cache of scenes, and that detections are of its test images."""
    for job in evidence.plan.with_output("manifest", "objects", "shapes"):
        said = {name: paths[0] for name, paths in job.outputs.items()}
        if evidence.here(*(said[name] for name in ("manifest", "objects", "shapes", "files"))):
            yield from _cache(evidence, job, said)
    for job in evidence.plan.with_output("detections", "about"):
        (path,), (scenes_of,) = job.outputs["detections"], job.inputs["scenes"]
        if evidence.here(path, scenes_of):
            wrong = _other_images(evidence, path, evidence.json(scenes_of))
            words = wrong or "of all test images and no other; boxes, scores and classes are sound"
            yield Check("data", FAIL if wrong else PASS, path, words, (path,) if wrong else ())


def _cache(evidence: Evidence, job: Job, said: dict[str, str]) -> Iterator[Check]:
    """Compare manifest, table of files, objects and images with each other and the source."""
    subject = said["manifest"]
    manifest, table = evidence.json(subject), table_of_files(evidence.path(said["files"]))
    objects, shapes = (
        arrays(evidence.path(said["objects"])),
        np.load(evidence.path(said["shapes"]), allow_pickle=False),
    )
    sums = {name.partition(".")[0]: digest for name, digest in manifest["sha256"].items()}
    wrong = [*other_files(evidence, said, sums), *_counts(manifest, table, objects, shapes)]
    if manifest["source_files_sha256"] != sums["files"]:
        wrong.append("the manifest has two checksums of the table of files")
    yield Check("data", FAIL if wrong else PASS, subject, some(wrong) or (
        f"{manifest['n_train']} training and {manifest['n_test']} test images, as in the table "
        f"of files; {len(objects['classes'])} objects and checksums agree"),
        (subject,) if wrong else ())  # fmt: skip
    if wrong:
        return
    yield from disjoint(manifest, table, subject)
    cache = None
    if evidence.here(*said.values()):
        try:
            cache = load_scene_cache(evidence.path(subject).parent)
        except DataError as error:
            yield Check("data", FAIL, subject, str(error), (subject,))
            return
        yield pixels_disjoint(cache, subject)
    if job.title not in evidence.stale:
        settings = job.params["settings"]
        toy = settings["definition"]["kind"] == "toy_scenes"
        compare = _rendered_again if toy else _read_again
        status, words = compare(evidence, settings, table, objects, cache)
        spoils = (subject,) if status == FAIL else ()
        yield Check("data", status, f"{subject}: source", words, spoils)


def _counts(
    manifest: dict[str, Any], table: Table, objects: dict[str, np.ndarray], shapes: np.ndarray
) -> Iterator[str]:
    """Yield contradictions between manifest, table of files, shapes and objects."""
    n_train, n_test = manifest["n_train"], manifest["n_test"]
    starts = objects["starts"]
    if not len(table) == len(shapes) == len(starts) - 1 == n_train + n_test:
        yield (
            f"{len(table)} files, {len(shapes)} shapes, objects of {len(starts) - 1} images, "
            f"{n_train} + {n_test} in the manifest"
        )
        return
    if [row["index"] for row in table] != [str(place) for place in range(len(table))]:
        yield "the table of files is not in order"
    if [row["split"] for row in table] != ["train"] * n_train + ["test"] * n_test:
        yield "the table of files has other splits"
    parts = {"train": slice(0, starts[n_train]), "test": slice(starts[n_train], None)}
    for name, rows in parts.items():
        found = {"objects": np.bincount(objects["classes"][rows],
                                        minlength=len(manifest["classes"])).tolist()}  # fmt: skip
        found |= {flag: int(objects[flag][rows].sum()) for flag in ("crowd", "difficult")}
        for what, count in found.items():
            if count != manifest[what][name]:
                yield f"{what} of {name}: {count}, the manifest says {manifest[what][name]}"
    sizes = shapes[np.repeat(np.arange(len(shapes)), np.diff(starts)), ::-1]
    low, high = objects["boxes"][:, :2], objects["boxes"][:, 2:]
    outside = ~((low >= 0) & (low <= high) & (high <= sizes)).all(axis=1)
    if outside.any():
        yield f"{outside.sum()} boxes do not lie in their images"


def _rendered_again(
    evidence: Evidence,
    settings: dict[str, Any],
    table: Table,
    objects: dict[str, np.ndarray],
    cache: SceneCache | None,
) -> tuple[str, str]:
    """Render all toy scenes again, and compare images and objects with the cache."""
    try:
        toy = ToyScenes(settings["definition"])
        if sum(toy.counts) != len(table):
            return FAIL, f"{sum(toy.counts)} scenes when made again, {len(table)} in the table"
        places = [(split, place) for split, n in enumerate(toy.counts) for place in range(n)]
        apart, again = [], []
        for index, (place, row) in enumerate(zip(places, table, strict=True)):
            scene = render_scene(toy.recipe, *place)
            same = hashlib.sha256(scene.image.tobytes()).hexdigest() == row["sha256"]
            if not same or (cache and not np.array_equal(cache.image(index), scene.image)):
                apart.append(row["index"])
            again.append(toy_objects(scene))
    except UserError as error:
        return FAIL, f"cannot be rendered again: {error}"
    if apart:
        return FAIL, f"images {some(apart)} differ when rendered again"
    columns = as_columns(again, masks="mask_bytes" in objects)
    other = [name for name, column in columns.items() if not np.array_equal(column, objects[name])]
    if other:
        return FAIL, f"{some(other)} of objects differ when rendered again"
    return PASS, f"all {len(table)} scenes and their objects come out the same when rendered again"


def _read_again(
    evidence: Evidence,
    settings: dict[str, Any],
    table: Table,
    objects: dict[str, np.ndarray],
    cache: SceneCache | None,
) -> tuple[str, str]:
    """Hash a sample of original images and annotations again, and compare some pixels."""
    definition = settings["definition"]
    root = evidence.root / settings["data_root"] / definition["path"]
    if (root / "VOCdevkit").is_dir() and definition["kind"] == "voc":
        root = root / "VOCdevkit"  # as its archives unpack
    status, said, originals = files_again(root, table)
    if status != PASS:
        return status, said
    told = sorted({(row["annotations"], row["annotations_sha256"]) for row in table} - {("", "")})
    drawn = [told[place] for place in drawn_evenly(len(told), SAMPLE)] if told else []
    found = digests_of([root / path for path, _ in drawn])
    other = [path for (path, then), now in zip(drawn, found, strict=True) if now != then]
    if other:
        return FAIL, f"annotations of other bytes than then: {some(other)}"
    said += f", {len(drawn)} of {len(told)} files of annotations too"
    if cache is None:
        return PASS, said
    longest = definition.get("max_side")
    apart = [
        str(place) for place, image in originals.items()
        if not np.array_equal(prepared(image, "native", None, longest), cache.image(place))
    ]  # fmt: skip
    if apart:
        return FAIL, f"cached pixels of images {some(apart)} are not the originals'"
    return PASS, f"{said}; pixels of {len(originals)} compared"


def _other_images(evidence: Evidence, path: str, manifest: dict[str, Any]) -> str:
    """Say why detections are not sound ones of all test images and no other; else nothing."""
    try:
        found = load_detections(evidence.path(path))
    except DataError as error:
        return f"not sound detections: {error}"
    n_train, n_test = manifest["n_train"], manifest["n_test"]
    if found.scored.tolist() != list(range(n_train, n_train + n_test)):
        return "its images are not all test images and no other"
    return some(_unsound(found, len(manifest["classes"])))


def _unsound(found: Detections, classes: int) -> Iterator[str]:
    """Yield what no detector of these classes says."""
    faults = {
        "scores outside [0, 1]": (found.scores < 0) | (found.scores > 1),
        "boxes whose ends are swapped": (found.boxes[:, 2:] < found.boxes[:, :2]).any(axis=1),
        "classes that the dataset does not have": found.classes >= classes,
    }
    for name, rows in faults.items():
        if rows.any():
            yield f"{rows.sum()} {name}"
