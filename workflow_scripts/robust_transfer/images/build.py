"""Building an image cache: list, decode, resize, write, in bounded memory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from robust_transfer.errors import ConfigError, DataError, did_you_mean
from robust_transfer.images import resize
from robust_transfer.images.embedded import list_toy, list_uci_digits
from robust_transfer.images.folder import list_folder
from robust_transfer.images.listing import Listing
from robust_transfer.images.parts import Recipe, fill_from_files
from robust_transfer.images.published.read import READERS, list_published
from robust_transfer.images.published.table import list_table
from robust_transfer.images.stream import PixelStream
from robust_transfer.images.write import Entry, write_cache
from robust_transfer.progress import progress

KINDS = ("toy", "uci_digits", "folder", "csv", *READERS)


def build_cache(
    dataset: dict[str, Any],
    resolution: str,
    folder: str | Path,
    *,
    data_root: str | Path,
    on_bad_image: str,
    native_short_side: int | None = None,
    workers: int = 1,
    code: str = "",
) -> None:
    """Build the image cache of one dataset at one resolution; the order of work never shows.

    A build of files that was killed is gone on from: see `parts`.

    Args:
        dataset: its definition in the config: `name`, `kind` and the keys of that kind.
        resolution: `native`, or pixels a side.
        folder: where the cache goes.
        data_root: folder below which the `path` of a dataset is.
        on_bad_image: `stop`, or `leave_out`: record it in the manifest and go on.
        native_short_side: reduce a longer shorter side of native images to so many pixels.
        workers: processes that decode; 1: this one.
        code: digest of the code: what other code left is not gone on from.

    Raises:
        ConfigError: unknown kind, resolution or `on_bad_image`.
        DataError: images are missing, unreadable or contradict each other; the disk refuses.
    """
    _check(dataset, resolution, on_bad_image)
    listing = list_dataset(dataset, data_root)
    recipe = Recipe(listing.root or Path(), resolution, native_short_side)
    label = f"{dataset['name']}, {resolution}"

    def fill(stream: PixelStream) -> Iterator[Entry]:
        if listing.pixels is not None:
            entries = _fill_from_memory(stream, listing, recipe)
        else:
            entries = fill_from_files(stream, listing, recipe, workers)
        if on_bad_image == "stop":
            entries = _stopping_at_bad_images(entries, listing, dataset["name"])
        return progress(entries, total=len(listing), label=label)

    write_cache(
        folder,
        fill,
        listing,
        question=recipe.question(listing, code),
        dataset=dataset["name"],
        resolution=resolution,
        resize=resize.in_words(resolution, native_short_side),
    )


def _check(dataset: dict[str, Any], resolution: str, on_bad_image: str) -> None:
    """Refuse what is no resolution or no policy."""
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


def _fill_from_memory(stream: PixelStream, listing: Listing, recipe: Recipe) -> Iterator[Entry]:
    """Append images that are no files."""
    assert listing.pixels is not None
    for index, pixels in enumerate(listing.pixels):
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        image = Image.fromarray(pixels)
        made = resize.prepared(image, recipe.resolution, recipe.native_short_side)
        stream.append(made)
        yield Entry(index, digest, (made.shape[0], made.shape[1]))


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
