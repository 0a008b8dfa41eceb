"""Writing a scene cache: pixels are streamed to disk, and all files appear at once."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.files import sha256, whole_file, write_array, write_json, write_text
from robust_transfer.images.listing import Listing
from robust_transfer.images.staging import disk_errors_explained, unfinished_folder
from robust_transfer.images.stream import PixelStream
from robust_transfer.images.write import Entry, in_both_splits
from robust_transfer.scenes.cache import COLUMNS
from robust_transfer.scenes.masks import pack
from robust_transfer.scenes.objects import Objects

SCHEMA_VERSION = 1
FILES = ("images.npy", "shapes.npy", "objects.npz", "files.csv", "manifest.json")  # manifest last


@dataclass(frozen=True, eq=False)
class Described:
    """What a cache is written from, but the pixels and the objects.

    Attributes:
        images: the images, training images first.
        classes: names that the positions of `Objects.classes` refer to.
        annotations: for each image, the file that describes it, below the root; may be empty.
        annotations_sha256: of these files, hexadecimal.
        masks: whether objects have masks.
        left_out: images that are no part of `images`: `path` and `reason` each.
        told: other entries of the manifest, builtins only.
    """

    images: Listing
    classes: tuple[str, ...]
    annotations: tuple[str, ...]
    annotations_sha256: dict[str, str]
    masks: bool
    left_out: tuple[dict[str, str], ...]
    told: dict[str, Any]


Fill = Callable[[PixelStream], Iterable[tuple[Entry, Objects]]]


def write_scene_cache(folder: Path, fill: Fill, described: Described, *, question: str) -> None:
    """Write a cache from images that arrive in the order of the listing.

    Whatever goes wrong, no half cache is left: see `images.write`.

    Args:
        folder: where to; made when it is missing.
        fill: appends the pixels to the stream and yields an entry and the objects of every image
            of the listing, in its order; images without a shape are left out.
        described: the rest.
        question: what an unfinished build must have been an answer to, to be gone on from.

    Raises:
        DataError: the disk is full or read-only.
    """
    with disk_errors_explained(folder), unfinished_folder(folder, question) as staging:
        kept: list[Entry] = []
        objects: list[Objects] = []
        left_out = [*described.left_out]
        with PixelStream(staging / "images.npy") as stream:
            for entry, found in fill(stream):
                if entry.shape is None:
                    name = described.images.name_of(entry.index)
                    left_out.append({"path": name, "reason": entry.problem})
                else:
                    kept.append(entry)
                    objects.append(found)
        write_array(staging / "shapes.npy", np.array(stream.shapes, np.int32).reshape(-1, 2))
        columns = as_columns(objects, masks=described.masks)
        with whole_file(staging / "objects.npz") as beside:
            np.savez(beside, allow_pickle=False, **columns)
        write_text(staging / "files.csv", _table(kept, described))
        manifest = _manifest(staging, kept, columns, described) | {"left_out": left_out}
        write_json(staging / "manifest.json", manifest)
        (folder / "manifest.json").unlink(missing_ok=True)  # an older cache ends here
        for name in FILES:
            (staging / name).replace(folder / name)


def as_columns(objects: list[Objects], *, masks: bool) -> dict[str, np.ndarray]:
    """Lay the objects of all images one after the other.

    Args:
        objects: of each image.
        masks: whether masks are kept; every object then has one.

    Returns:
        The arrays of objects.npz.
    """
    counts = np.array([len(each) for each in objects], np.int64)
    columns = {"starts": np.concatenate([[0], np.cumsum(counts)])}
    columns |= {
        name: np.concatenate(
            [np.zeros((0, 4) if name == "boxes" else 0, kind)]
            + [getattr(each, name).astype(kind, copy=False) for each in objects]
        )
        for name, kind in COLUMNS.items()
        if name != "starts"
    }
    if masks:
        together = tuple(mask for each in objects for mask in each.masks or ())
        columns["mask_starts"], columns["mask_bytes"] = pack(together)
    return columns


def _table(kept: list[Entry], described: Described) -> str:
    """Spell files.csv: where every image of the cache is from."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["index", "split", "path", "sha256", "annotations", "annotations_sha256"])
    listing = described.images
    for position, entry in enumerate(kept):
        source = described.annotations[entry.index]
        digest = described.annotations_sha256.get(source, "")
        path, split = listing.path_of(entry.index), listing.split_of(entry.index)
        rows.writerow([position, split, path, entry.sha256, source, digest])
    return text.getvalue()


def _manifest(
    staging: Path, kept: list[Entry], columns: dict[str, np.ndarray], described: Described
) -> dict[str, Any]:
    """Describe a cache whose other files are written."""
    listing = described.images
    n_train = sum(entry.index < listing.n_train for entry in kept)
    cut = int(columns["starts"][n_train])
    parts = {"train": slice(0, cut), "test": slice(cut, None)}

    def count(classes: np.ndarray) -> list[int]:
        return np.bincount(classes, minlength=len(described.classes)).tolist()

    return {
        "schema_version": SCHEMA_VERSION,
        **described.told,
        "classes": list(described.classes),
        "n_train": n_train,
        "n_test": len(kept) - n_train,
        "objects": {name: count(columns["classes"][rows]) for name, rows in parts.items()},
        "crowd": {name: int(columns["crowd"][rows].sum()) for name, rows in parts.items()},
        "difficult": {name: int(columns["difficult"][rows].sum()) for name, rows in parts.items()},
        "masks": described.masks,
        "source": listing.source,
        "source_files_sha256": sha256(staging / "files.csv"),
        "in_both_splits": in_both_splits(kept, listing),
        "sha256": {name: sha256(staging / name) for name in FILES[:-1]},
    }
