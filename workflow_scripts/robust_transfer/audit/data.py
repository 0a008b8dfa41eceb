"""Checks of images: a cache against its source, and its splits against each other."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, arrays, some
from robust_transfer.audit.near_duplicates import near_duplicates
from robust_transfer.audit.originals import compare_with_originals
from robust_transfer.audit.plan import Job
from robust_transfer.errors import DataError
from robust_transfer.images.cache import ImageCache, load_cache
from robust_transfer.images.splits import split_validation
from robust_transfer.scenes.cache import SceneCache


def data(evidence: Evidence) -> Iterator[Check]:
    """Judge every cache, and that predictions are of its test images."""
    for job in evidence.plan.with_output("manifest", "files", "labels"):
        (manifest,) = job.outputs["manifest"]
        said = {name: paths[0] for name, paths in job.outputs.items()}
        if evidence.here(said["manifest"], said["files"], said["labels"]):
            yield from _cache(evidence, job, said, manifest)
    for job, path, _ in evidence.cells():
        if evidence.here(path):
            yield from _predictions(evidence, job, path)


def _cache(evidence: Evidence, job: Job, said: dict[str, str], subject: str) -> Iterator[Check]:
    """Compare manifest, table of files, labels and images with each other and the source."""
    manifest = evidence.json(said["manifest"])
    table = table_of_files(evidence.path(said["files"]))
    labels = np.load(evidence.path(said["labels"]), allow_pickle=False)
    sums = manifest["sha256"] | {"files": manifest["source_files_sha256"]}
    wrong = [*other_files(evidence, said, sums), *_counts(manifest, table, labels)]
    yield Check("data", FAIL if wrong else PASS, subject, some(wrong) or (
        f"{manifest['n_train']} training and {manifest['n_test']} test images, as in the table "
        "of files; histogram and checksums agree"), (subject,) if wrong else ())  # fmt: skip
    if wrong:
        return
    yield from disjoint(manifest, table, subject)
    if job.title not in evidence.stale:
        yield from compare_with_originals(evidence, job, table, subject)
    if evidence.here(*said.values()):
        try:
            cache = load_cache(evidence.path(subject).parent)
        except DataError as error:
            yield Check("data", FAIL, subject, str(error), (subject,))
            return
        yield pixels_disjoint(cache, subject)


def table_of_files(path: Path) -> list[dict[str, str]]:
    """Read files.csv."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def other_files(
    evidence: Evidence, said: dict[str, str], expected: dict[str, str]
) -> Iterator[str]:
    """Yield files whose checksum the manifest has otherwise.

    Args:
        evidence: of the study.
        said: paths of the files of a cache, by name.
        expected: checksums in the manifest, by the same names.
    """
    for name, digest in expected.items():
        if evidence.known(said[name]) and evidence.hashes[said[name]] != digest:
            yield f"{name} is not the file that the manifest describes"


def _counts(
    manifest: dict[str, Any], table: list[dict[str, str]], labels: np.ndarray
) -> Iterator[str]:
    """Yield contradictions between manifest, labels and the table of files."""
    n_train, n_test, classes = manifest["n_train"], manifest["n_test"], manifest["classes"]
    if not len(labels) == len(table) == n_train + n_test:
        yield f"{len(labels)} labels, {len(table)} files, {n_train} + {n_test} in the manifest"
        return
    if [row["class"] for row in table] != [classes[label] for label in labels]:
        yield "labels and the table of files name other classes"
    if [row["split"] for row in table] != ["train"] * n_train + ["test"] * n_test:
        yield "the table of files has other splits"
    for name, part in (("train", labels[:n_train]), ("test", labels[n_train:])):
        found = np.bincount(part, minlength=len(classes)).tolist()
        if found != manifest["histogram"][name]:
            yield f"class histogram of {name}: {found}, the manifest says otherwise"


def disjoint(
    manifest: dict[str, Any], table: list[dict[str, str]], subject: str
) -> Iterator[Check]:
    """Look for test images whose original is a training image too."""
    trained = {row["sha256"] for row in table if row["split"] == "train"}
    both = [row for row in table if row["split"] == "test" and row["sha256"] in trained]
    told = len(manifest["in_both_splits"])
    if not both:
        yield Check("data", PASS, f"{subject}: originals", "none in both splits")
    elif len(both) == told:
        names = some((row["path"] or f"image {row['index']}" for row in both), at_most=3)
        said = f"{told} originals stand in train and test, as the manifest says: {names}"
        yield Check("data", WARN, f"{subject}: originals", said)
    else:
        said = f"{len(both)} originals stand in train and test, the manifest tells of {told}"
        yield Check("data", FAIL, f"{subject}: originals", said, (subject,))


def pixels_disjoint(cache: ImageCache | SceneCache, subject: str) -> Check:
    """Look for test images that look like a training image."""
    pairs, looked_at = near_duplicates(cache)
    subject = f"{subject}: look-alikes"
    if not pairs:
        return Check("data", PASS, subject, f"none in both splits, of {looked_at} images")
    named = some((f"{test} like {train}" for train, test in pairs), at_most=3)
    said = f"{len(pairs)} of {looked_at} images look alike across the splits: test {named}"
    return Check("data", WARN, subject, said)


def _predictions(evidence: Evidence, job: Job, path: str) -> Iterator[Check]:
    """See that predictions are of all test images and no other, and know their labels."""
    makers = (evidence.plan.maker.get(need) for need in job.needed)
    cache = next((maker for maker in makers if maker and "manifest" in maker.outputs), None)
    if cache is None:
        return
    manifest, labels = cache.outputs["manifest"][0], cache.outputs["labels"][0]
    if not evidence.here(manifest, labels):
        return
    n_train = evidence.json(manifest)["n_train"]
    truth = np.load(evidence.path(labels), allow_pickle=False)
    try:
        found = arrays(evidence.path(path))
        index, told = found["index"], found["labels"]
    except (OSError, ValueError, KeyError) as error:
        yield Check("data", FAIL, path, f"not readable as predictions: {error}", (path,))
        return
    if sorted(index) != list(range(n_train, len(truth))):
        yield Check("data", FAIL, path, "its images are not all test images and no other", (path,))
    elif (truth[index] != told).any():
        yield Check("data", FAIL, path, "its labels are not those of the cache", (path,))
    elif not _validation_apart(job, truth[:n_train], path):
        yield Check("data", FAIL, path, "the validation split is not part of train alone", (path,))
    else:
        yield Check("data", PASS, path, f"of all {len(index)} test images; validation apart")


def _validation_apart(job: Job, labels: np.ndarray, path: str) -> bool:
    """Draw the validation split again: with what is trained on it makes up train, no row twice."""
    settings = job.params["settings"]
    seed = settings["seeds"][job.outputs["predictions"].index(path)]
    fraction = settings["recipe"]["validation_fraction"]
    rows = np.concatenate(split_validation(labels, fraction=fraction, seed=seed))
    return sorted(rows) == list(range(len(labels)))
