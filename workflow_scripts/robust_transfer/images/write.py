"""Writing an image cache: pixels are streamed to disk, and all files appear at once."""

import contextlib
import csv
import errno
import io
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.files import sha256, write_array, write_json, write_text
from robust_transfer.images.cache import ARRAYS, SCHEMA_VERSION
from robust_transfer.images.listing import Listing

FILES = (*(f"{name}.npy" for name in ARRAYS), "files.csv", "manifest.json")  # manifest last
_HEADER_BYTES = 128
_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full. Free some space, or set cache_root to another disk",
    errno.EDQUOT: "your disk quota is used up. Free some space, or move cache_root elsewhere",
    errno.EROFS: "the disk is read-only. Set cache_root to a folder that can be written",
    errno.EACCES: "writing is not permitted. Change the permissions, or move cache_root elsewhere",
    errno.EPERM: "writing is not permitted. Change the permissions, or move cache_root elsewhere",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Remove it, or move cache_root",
    errno.EEXIST: "a part of this path is a file, not a folder. Remove it, or move cache_root",
}


@dataclass(frozen=True, eq=False)
class Entry:
    """One image on its way into a cache.

    Attributes:
        index: position in the listing.
        pixels: (height, width, 3) uint8; None when the file is no readable image.
        sha256: of the bytes of the original, hexadecimal.
        problem: why there are no pixels; empty when there are.
    """

    index: int
    pixels: np.ndarray | None
    sha256: str
    problem: str = ""


def write_cache(
    folder: str | Path, entries: Iterable[Entry], listing: Listing, **described: Any
) -> None:
    """Write a cache from images that arrive one at a time, in the order of the listing.

    Files are written to a folder of their own inside `folder` and renamed when all are complete,
    the manifest last; whatever goes wrong, no half cache is left.

    Args:
        folder: where to; made when it is missing.
        entries: one an image of `listing`, in its order; those without pixels are left out and
            recorded in the manifest.
        listing: what the dataset consists of.
        described: `dataset`, `resolution` and `resize`, for the manifest.

    Raises:
        DataError: the disk is full or read-only, or a class lost its last training image.
    """
    folder = Path(folder)
    with _disk_errors_explained(folder), _staging(folder) as staging:
        kept: list[Entry] = []
        left_out: list[dict[str, str]] = []
        with PixelStream(staging / "images.npy") as stream:
            for entry in entries:
                if entry.pixels is None:
                    name = listing.name_of(entry.index)
                    left_out.append({"path": name, "reason": entry.problem})
                    continue
                stream.append(entry.pixels)
                kept.append(Entry(entry.index, None, entry.sha256))  # the pixels may go
        write_array(staging / "shapes.npy", np.array(stream.shapes, np.int32).reshape(-1, 2))
        labels = listing.labels[[entry.index for entry in kept]]
        write_array(staging / "labels.npy", labels.astype(np.int64))
        write_text(staging / "files.csv", _table(kept, listing))
        manifest = _manifest(staging, kept, left_out, listing, described)
        write_json(staging / "manifest.json", manifest)
        (folder / "manifest.json").unlink(missing_ok=True)  # an older cache ends here
        for name in FILES:
            (staging / name).replace(folder / name)


class PixelStream:
    """An .npy file of images whose number and sizes are known only at the end."""

    def __init__(self, path: Path) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._stream = path.open("wb")

    def __enter__(self) -> "PixelStream":
        """Leave room for the header."""
        self._stream.write(bytes(_HEADER_BYTES))
        return self

    def append(self, pixels: np.ndarray) -> None:
        """Write one image: (height, width, 3) uint8."""
        height, width, channels = pixels.shape
        if channels != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                f"an image is {pixels.dtype} {pixels.shape}, expected uint8 (h, w, 3)."
            )
        self.shapes.append((height, width))
        self._stream.write(np.ascontiguousarray(pixels).data)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the header: one array when all images are one size, otherwise plain bytes."""
        with self._stream:
            if kind is not None:
                return
            flat = (sum(height * width * 3 for height, width in self.shapes),)
            one_size = len(set(self.shapes)) == 1
            shape = (len(self.shapes), *self.shapes[0], 3) if one_size else flat
            self._stream.seek(0)
            self._stream.write(_npy_header(shape))
            self._stream.flush()
            os.fsync(self._stream.fileno())


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Spell the header of a uint8 array, version 1.0 of the format, at a fixed length.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    magic = b"\x93NUMPY\x01\x00"
    room = _HEADER_BYTES - len(magic) - 2
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    return magic + room.to_bytes(2, "little") + (text.ljust(room - 1) + "\n").encode("ascii")


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
        "in_both_splits": _in_both_splits(kept, listing),
        "sha256": {name: sha256(staging / f"{name}.npy") for name in ARRAYS},
    }


def _in_both_splits(kept: list[Entry], listing: Listing) -> list[list[str]]:
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


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Make a folder for unfinished files; remove it, and those of builds that died, at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f".unfinished-{socket.gethostname()}-"
    for old in folder.glob(f"{prefix}*"):
        if not _is_running(int(old.name.removeprefix(prefix))):
            shutil.rmtree(old, ignore_errors=True)
    staging = folder / f"{prefix}{os.getpid()}"
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_running(process: int) -> bool:
    """Say whether a process of this machine is alive."""
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into words that name the folder and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise DataError(f"{folder}: {_DISK_ERRORS[error.errno]}.") from error
