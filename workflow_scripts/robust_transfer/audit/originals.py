"""Comparison of a cache with the original images, rendered or read again."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, some
from robust_transfer.audit.plan import Job
from robust_transfer.errors import UserError
from robust_transfer.files import sha256
from robust_transfer.images.build import list_dataset
from robust_transfer.images.cache import load_cache
from robust_transfer.images.decode import decode
from robust_transfer.images.resize import prepared

#: Images whose cached pixels are made again, drawn evenly.
PIXELS = 24
#: Original files hashed again for each cache, drawn evenly: reading all may take hours.
SAMPLE = 200


def compare_with_originals(
    evidence: Evidence, job: Job, table: list[dict[str, str]], subject: str
) -> Iterator[Check]:
    """Compare the table of files with the source.

    Args:
        evidence: of the study.
        job: the one that built the cache.
        table: rows of files.csv.
        subject: what to call the cache.

    Yields:
        One check: rendered sources are rendered again, all of them; of files a sample is hashed.
    """
    settings = job.params["settings"]
    if table and table[0]["path"]:
        root = evidence.root / settings["data_root"] / settings["dataset"].get("path", "")
        status, said, originals = files_again(root, table)
    else:
        status, said, originals = _rendered(settings, table)
    if status == PASS and originals:
        apart = _cached_otherwise(evidence, job, originals, subject)
        said += f"; pixels of {len(originals)} compared"
        if apart:
            status, said = (
                FAIL,
                f"cached pixels of images {some(map(str, apart))} are not the originals'",
            )
    spoils = (subject,) if status == FAIL else ()
    yield Check("data", status, f"{subject}: source", said, spoils)


Originals = dict[int, Image.Image]


def _rendered(settings: dict, table: list[dict[str, str]]) -> tuple[str, str, Originals]:
    """Make all images again that are no files, and compare them with the table of files."""
    try:
        listing = list_dataset(settings["dataset"], settings["data_root"])
    except UserError as error:
        return FAIL, f"cannot be listed again: {error}", {}
    pixels = listing.pixels
    if pixels is None or len(listing) != len(table):
        return FAIL, f"{len(listing)} images when made again, {len(table)} in the table", {}
    apart = [
        row["index"]
        for row, image in zip(table, pixels, strict=True)
        if hashlib.sha256(image.tobytes()).hexdigest() != row["sha256"]
    ]
    if apart:
        return FAIL, f"images {some(apart)} differ when made again", {}
    drawn = drawn_evenly(len(table), PIXELS)
    originals = {place: Image.fromarray(pixels[place]) for place in drawn}
    return PASS, f"all {len(table)} images come out the same when made again", originals


def files_again(root: Path, table: list[dict[str, str]]) -> tuple[str, str, Originals]:
    """Hash a sample of the original files.

    Args:
        root: the folder that paths of the table are relative to.
        table: rows of files.csv.

    Returns:
        Status of the check, what to say, and a smaller sample of images by their position.
    """
    if not (root / table[0]["path"]).exists():
        return WARN, f"not compared: {root / table[0]['path']} is not here", {}
    drawn = drawn_evenly(len(table), SAMPLE)
    digests = digests_of([root / table[place]["path"] for place in drawn])
    apart = [table[place]["path"] for place, digest in zip(drawn, digests, strict=True)
             if digest != table[place]["sha256"]]  # fmt: skip
    if apart:
        return FAIL, f"other bytes than then: {some(apart)}", {}
    chosen = drawn[:: max(1, len(drawn) // PIXELS)]
    originals = {place: decode((root / table[place]["path"]).read_bytes()) for place in chosen}
    return PASS, f"{len(drawn)} of {len(table)} original files are the same", originals


def _cached_otherwise(
    evidence: Evidence, job: Job, originals: Originals, manifest: str
) -> list[int]:
    """Return the positions of images whose cached pixels are not those of the original."""
    if not evidence.here(*job.files):
        return []
    cache = load_cache(evidence.path(manifest).parent)
    resolution = job.wildcards["resolution"]
    short = job.params["settings"].get("native_short_side")
    return [
        place
        for place, image in originals.items()
        if not np.array_equal(prepared(image, resolution, short), cache.image(place))
    ]


def digests_of(paths: list[Path]) -> list[str]:
    """Hash files side by side; `missing` for one that cannot be read."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(_digest, paths))


def drawn_evenly(count: int, wanted: int) -> list[int]:
    """Return positions spread evenly, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(int)).tolist()


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:
        return "missing"
