"""Writing an image cache: pixels are streamed to disk, and all files appear at once."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import sha256, write_array, write_json, write_text
from robust_transfer.images.cache import ARRAYS, SCHEMA_VERSION
from robust_transfer.images.listing import Listing
from robust_transfer.images.staging import disk_errors_explained, unfinished_folder
from robust_transfer.images.stream import PixelStream

FILES = (*(f"{name}.npy" for name in ARRAYS), "files.csv", "manifest.json")  # manifest last


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One image of a cache; there are millions, so it holds no pixels.

    Attributes:
        index: position in the listing.
        sha256: of the bytes of the original, hexadecimal.
        shape: height and width, pixels; None when the file is no readable image.
        problem: why there are no pixels; empty when there are.
    """

    index: int
    sha256: str
    shape: tuple[int, int] | None
    problem: str = ""


def write_cache(
    folder: str | Path,
    fill: "Callable[[PixelStream], Iterable[Entry]]",
    listing: Listing,
    *,
    question: str,
    **described: Any,
) -> None:
    """Write a cache from images that arrive in the order of the listing.

    Files are written to a folder of their own inside `folder` and renamed when all are complete,
    the manifest last; whatever goes wrong, no half cache is left. A build that is killed leaves
    that folder, and the next one with the same question finds it.

    Args:
        folder: where to; made when it is missing.
        fill: appends the pixels to the stream and yields an entry an image of `listing`, in its
            order; those without a shape are left out and recorded in the manifest.
        listing: what the dataset consists of.
        question: what an unfinished build must have been an answer to, to be gone on from.
        described: `dataset`, `resolution` and `resize`, for the manifest.

    Raises:
        DataError: the disk is full or read-only, or a class lost its last training image.
    """
    folder = Path(folder)
    with disk_errors_explained(folder), unfinished_folder(folder, question) as staging:
        kept: list[Entry] = []
        left_out: list[dict[str, str]] = []
        with PixelStream(staging / "images.npy") as stream:
            for entry in fill(stream):
                if entry.shape is None:
                    name = listing.name_of(entry.index)
                    left_out.append({"path": name, "reason": entry.problem})
                else:
                    kept.append(entry)
        write_array(staging / "shapes.npy", np.array(stream.shapes, np.int32).reshape(-1, 2))
        labels = listing.labels[[entry.index for entry in kept]]
        write_array(staging / "labels.npy", labels.astype(np.int64))
        write_text(staging / "files.csv", _table(kept, listing))
        manifest = _manifest(staging, kept, left_out, listing, described)
        write_json(staging / "manifest.json", manifest)
        (folder / "manifest.json").unlink(missing_ok=True)  # an older cache ends here
        for name in FILES:
            (staging / name).replace(folder / name)


def _table(kept: list[Entry], listing: Listing) -> str:
    """Spell files.csv: where every image of the cache is from."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["index", "split", "class", "path", "sha256"])
    for position, entry in enumerate(kept):
        name = listing.classes[listing.labels[entry.index]]
        path = listing.path_of(entry.index)
        rows.writerow([position, listing.split_of(entry.index), name, path, entry.sha256])
    return text.getvalue()


def _manifest(
    staging: Path,
    kept: list[Entry],
    left_out: list[dict[str, str]],
    listing: Listing,
    described: dict[str, Any],
) -> dict[str, Any]:
    """Describe a cache whose other files are written."""
    labels = listing.labels[[entry.index for entry in kept]]
    n_train = sum(entry.index < listing.n_train for entry in kept)
    counts = [
        np.bincount(part, minlength=len(listing.classes)).tolist()
        for part in (labels[:n_train], labels[n_train:])
    ]
    if 0 in counts[0]:
        raise DataError(
            f"dataset '{described['dataset']}', class '{listing.classes[counts[0].index(0)]}': no "
            f"training image can be read; {len(left_out)} files were left out, the first is "
            f"{left_out[0]['path']} ({left_out[0]['reason']}).\n"
            "  Repair the files, or remove the class."
        )
    return {
        "schema_version": SCHEMA_VERSION,
        **described,
        "classes": list(listing.classes),
        "n_train": n_train,
        "n_test": len(kept) - n_train,
        "histogram": {"train": counts[0], "test": counts[1]},
        "source": listing.source,
        "source_files_sha256": sha256(staging / "files.csv"),
        "left_out": left_out,
        "in_both_splits": in_both_splits(kept, listing),
        "sha256": {name: sha256(staging / f"{name}.npy") for name in ARRAYS},
    }


def in_both_splits(kept: list[Entry], listing: Listing) -> list[list[str]]:
    """Pair each test image with the first training image of identical bytes, where one is."""
    trained: dict[str, str] = {}
    pairs = []
    for entry in kept:
        name = listing.name_of(entry.index)
        if entry.index < listing.n_train:
            trained.setdefault(entry.sha256, name)
        elif entry.sha256 in trained:
            pairs.append([trained[entry.sha256], name])
    return pairs
