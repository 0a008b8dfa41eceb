"""Building an image cache: list, decode, resize, write, in bounded memory."""

import hashlib
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robust_transfer.errors import ConfigError, DataError, did_you_mean
from robust_transfer.images import resize
from robust_transfer.images.decode import BadImageError, decode
from robust_transfer.images.embedded import list_toy, list_uci_digits
from robust_transfer.images.folder import list_folder
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.read import READERS, list_published
from robust_transfer.images.published.table import list_table
from robust_transfer.images.write import Entry, write_cache
from robust_transfer.progress import progress

KINDS = ("toy", "uci_digits", "folder", "csv", *READERS)
_CHUNK = 32  # images a task of a worker
_TASKS_AHEAD = 4  # tasks a worker may be ahead of the writer: bounds memory


def build_cache(
    dataset: dict[str, Any],
    resolution: str,
    folder: str | Path,
    *,
    data_root: str | Path,
    on_bad_image: str,
    native_short_side: int | None = None,
    workers: int = 1,
) -> None:
    """Build the image cache of one dataset at one resolution; the order of work never shows.

    Args:
        dataset: its definition in the config: `name`, `kind` and the keys of that kind.
        resolution: `native`, or pixels a side.
        folder: where the cache goes.
        data_root: folder below which the `path` of a dataset is.
        on_bad_image: `stop`, or `leave_out`: record it in the manifest and go on.
        native_short_side: reduce a longer shorter side of native images to so many pixels.
        workers: processes that decode; 1: this one.

    Raises:
        ConfigError: unknown kind, resolution or `on_bad_image`.
        DataError: images are missing, unreadable or contradict each other; the disk refuses.
    """
    if on_bad_image not in ("stop", "leave_out"):
        raise ConfigError(
            f"data, on_bad_image: there is no '{on_bad_image}'.\n  Choose stop or leave_out."
            + did_you_mean(on_bad_image, ["stop", "leave_out"])
        )
    if resolution != "native" and not (resolution.isdecimal() and int(resolution) > 0):
        raise ConfigError(
            f"dataset '{dataset['name']}', resolution: '{resolution}' is neither native nor a "
            "number of pixels a side."
        )
    listing = list_dataset(dataset, data_root)
    recipe = _Recipe(listing.root, resolution, native_short_side)
    entries = _entries(listing, recipe, workers)
    if on_bad_image == "stop":
        entries = _stopping_at_bad_images(entries, listing, dataset["name"])
    label = f"{dataset['name']}, {resolution}"
    write_cache(
        folder,
        progress(entries, total=len(listing), label=label),
        listing,
        dataset=dataset["name"],
        resolution=resolution,
        resize=resize.in_words(resolution, native_short_side),
    )


def list_dataset(dataset: dict[str, Any], data_root: str | Path) -> Listing:
    """List the images of a dataset of any kind.

    Args:
        dataset: its definition in the config.
        data_root: folder below which the `path` of a dataset is.

    Raises:
        ConfigError: unknown kind.
        DataError: images are missing or contradict each other.
    """
    match dataset["kind"]:
        case "toy":
            return list_toy(dataset)
        case "uci_digits":
            return list_uci_digits(dataset)
        case "folder":
            return list_folder(dataset, data_root)
        case "csv":
            return list_table(Path(data_root, dataset["path"]), dataset)
        case kind if kind in READERS:
            return list_published(dataset, data_root)
        case unknown:
            raise ConfigError(
                f"dataset '{dataset['name']}', kind: there is no '{unknown}'.\n"
                f"  Choose one of {', '.join(KINDS)}.{did_you_mean(unknown, KINDS)}"
            )


@dataclass(frozen=True)
class _Recipe:
    """What a worker needs to know to prepare a file."""

    root: Path | None
    resolution: str
    native_short_side: int | None

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Bring one RGB image to the resolution."""
        return resize.prepared(image, self.resolution, self.native_short_side)


Task = tuple[_Recipe, int, tuple[str, ...]]  # recipe, index of the first file, paths


def _entries(listing: Listing, recipe: _Recipe, workers: int) -> Iterator[Entry]:
    """Prepare all images in the order of the listing."""
    if listing.pixels is not None:
        for index, pixels in enumerate(listing.pixels):
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            yield Entry(index, recipe.prepare(Image.fromarray(pixels)), digest)
        return
    tasks = (
        (recipe, first, listing.paths[first : first + _CHUNK])
        for first in range(0, len(listing), _CHUNK)
    )
    if workers == 1:
        for task in tasks:
            yield from _prepare_files(*task)
    else:
        yield from _in_parallel(tasks, workers)


def _in_parallel(tasks: Iterator[Task], workers: int) -> Iterator[Entry]:
    """Prepare files in processes of their own; results come in order, few are kept waiting."""
    # Spawned, not forked: a fork of a process with threads (BLAS, torch) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[list[Entry]]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(_prepare_files, *task))
                if len(waiting) > workers * _TASKS_AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise DataError(
                "a process that decodes images was ended from outside, most likely for want of "
                "memory.\n  Ask for more memory, or for fewer threads."
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def _prepare_files(recipe: _Recipe, first: int, paths: tuple[str, ...]) -> list[Entry]:
    """Read, decode and resize some files, in a worker or here."""
    return [_prepare_file(recipe, first + place, path) for place, path in enumerate(paths)]


def _prepare_file(recipe: _Recipe, index: int, path: str) -> Entry:
    """Read, decode and resize one file."""
    assert recipe.root is not None
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
        return Entry(index, recipe.prepare(decode(content)), digest)
    except BadImageError as problem:
        return Entry(index, None, digest, str(problem))


def _stopping_at_bad_images(
    entries: Iterator[Entry], listing: Listing, dataset: str
) -> Iterator[Entry]:
    """Let entries pass; raise at the first that has no pixels."""
    for entry in entries:
        if entry.problem:
            raise DataError(
                f"{listing.root}/{listing.name_of(entry.index)} (dataset '{dataset}'): this image "
                f"cannot be read: {entry.problem}.\n"
                "  Replace or remove the file, or set data: on_bad_image: leave_out, "
                "which leaves such files out and lists them in the manifest."
            )
        yield entry
