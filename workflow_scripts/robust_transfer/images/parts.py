"""Preparing files in parts: in several processes, in bounded memory, and resumable.

A worker writes the pixels of a part to a file of their own, one image at a time, and then a record
of the part. The writer appends parts in order, and removes their pixels; records stay until the
cache is whole. So a killed build goes on: parts with a record and no pixels are in the cache, those
with both need only be appended. Pixels never travel between processes.
"""

import hashlib
import json
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from robust_transfer.errors import DataError
from robust_transfer.images import resize
from robust_transfer.images.decode import BadImageError, decode
from robust_transfer.images.listing import Listing
from robust_transfer.images.staging import InterruptedBuildError
from robust_transfer.images.stream import PixelStream
from robust_transfer.images.write import Entry

IMAGES = 256  # images a part
_PARTS_AHEAD = 4  # parts a worker may be ahead of the writer: bounds the disk that is used twice


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know to prepare a file.

    Attributes:
        root: folder that paths are relative to.
        resolution: `native`, or pixels a side.
        native_short_side: of native images, as `resize.prepared` takes it.
        native_long_side: likewise.
    """

    root: Path
    resolution: str
    native_short_side: int | None
    native_long_side: int | None = None

    def question(self, listing: Listing, code: str) -> str:
        """Return a digest of all that decides the pixels, but the files' content.

        Args:
            listing: the images.
            code: digest of the code.
        """
        asked = [str(self), IMAGES, code, PIL.__version__, listing.n_train, listing.classes]
        digest = hashlib.sha256(json.dumps(asked).encode())
        digest.update(listing.labels.tobytes())
        for path in listing.paths:
            digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """Some files that follow one another in the listing."""

    recipe: Recipe
    folder: Path
    first: int
    paths: tuple[str, ...]

    @property
    def record(self) -> Path:
        """Where the record lies."""
        return self.folder / f"{self.first:09d}.json"

    @property
    def pixels(self) -> Path:
        """Where the pixels lie until they are appended."""
        return self.folder / f"{self.first:09d}.pixels"


def fill_from_files(
    stream: PixelStream, listing: Listing, recipe: Recipe, workers: int
) -> Iterator[Entry]:
    """Prepare all files in the order of the listing, and append their pixels to a stream.

    Args:
        stream: of the cache; records and parts lie beside it.
        listing: the images.
        recipe: how each is prepared.
        workers: processes that decode; 1: this one.

    Raises:
        DataError: a file cannot be read.
        InterruptedBuildError: a worker was ended from outside.
    """
    parts = [
        Part(recipe, stream.path.parent, first, listing.paths[first : first + IMAGES])
        for first in range(0, len(listing), IMAGES)
    ]
    appended = 0
    shapes: list[tuple[int, int]] = []
    for part in parts:
        known = _read(part)
        if known is None or part.pixels.exists():
            break
        shapes += [entry.shape for entry in known if entry.shape]
        appended += 1
        yield from known
    stream.keep(shapes)
    todo = iter(parts[appended:])
    for part, entries in _prepared(todo, workers):
        stream.append_file(part.pixels, [entry.shape for entry in entries if entry.shape])
        part.pixels.unlink()
        yield from entries


def _prepared(parts: Iterator[Part], workers: int) -> Iterator[tuple[Part, list[Entry]]]:
    """Prepare parts, in processes of their own where there are several; they come in order."""
    if workers == 1:
        yield from ((part, prepare(part)) for part in parts)
        return
    # Spawned, not forked: a fork of a process with threads (BLAS, torch) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[tuple[Part, Future[list[Entry]]]] = deque()
        try:
            for part in parts:
                waiting.append((part, pool.submit(prepare, part)))
                if len(waiting) > workers * _PARTS_AHEAD:
                    ready, future = waiting.popleft()
                    yield ready, future.result()
            while waiting:
                ready, future = waiting.popleft()
                yield ready, future.result()
        except BrokenProcessPool:
            raise InterruptedBuildError(
                "a process that decodes images was ended from outside, most likely for want of "
                "memory.\n  Ask for more memory, or for fewer threads; what is done is kept."
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()


def prepare(part: Part) -> list[Entry]:
    """Read, decode and resize the files of a part, in a worker or here.

    Args:
        part: one that is prepared already is only read.

    Returns:
        An entry a file; pixels and record lie on disk.
    """
    known = _read(part)
    if known is not None and part.pixels.exists():
        return known
    stats = [_stat(part, path) for path in part.paths]
    entries = []
    with part.pixels.open("wb") as stream:
        for place, path in enumerate(part.paths):
            entry, pixels = _prepare_file(part.recipe, part.first + place, path)
            if pixels is not None:
                stream.write(np.ascontiguousarray(pixels).data)
            entries.append(entry)
    rows = [[entry.sha256, entry.shape, entry.problem] for entry in entries]
    beside = part.record.with_suffix(".part")
    beside.write_text(json.dumps({"stats": stats, "entries": rows}), encoding="utf-8")
    beside.replace(part.record)
    return entries


def _read(part: Part) -> list[Entry] | None:
    """Return the entries of a part's record; None where there is none for the files as they are."""
    try:
        record: dict[str, Any] = json.loads(part.record.read_text(encoding="utf-8"))
        if record["stats"] != [_stat(part, path) for path in part.paths]:
            return None
        return [
            Entry(part.first + place, digest, tuple(shape) if shape else None, problem)
            for place, (digest, shape, problem) in enumerate(record["entries"])
        ]
    except (OSError, ValueError, KeyError):
        return None


def _stat(part: Part, path: str) -> list[int]:
    """Return what changes with a file: its size and time of change; zeros where it is gone."""
    try:
        found = (part.recipe.root / path).stat()
    except OSError:  # reading it says more
        return [0, 0]
    return [found.st_size, found.st_mtime_ns]


def _prepare_file(recipe: Recipe, index: int, path: str) -> tuple[Entry, np.ndarray | None]:
    """Read, decode and resize one file."""
    full = recipe.root / path
    try:
        content = full.read_bytes()
    except OSError as error:  # the disk's fault, not the image's: never left out
        raise DataError(
            f"{full}: the file cannot be read: {error.strerror}.\n"
            "  Check the permissions and the disk."
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    try:
        image: Image.Image = decode(content)
        sides = (recipe.native_short_side, recipe.native_long_side)
        pixels = resize.prepared(image, recipe.resolution, *sides)
    except BadImageError as problem:
        return Entry(index, digest, None, str(problem)), None
    return Entry(index, digest, (pixels.shape[0], pixels.shape[1])), pixels
