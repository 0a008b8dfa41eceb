"""Files that appear whole or not at all, and their checksums."""

import contextlib
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` when the block succeeds.

    Args:
        path: the file to create or replace; missing folders are made.

    Yields:
        The temporary path, in the same folder (and so on the same file system), with the suffix
        of `path`. It is removed when the block raises, and `path` is then as it was. What a
        process that was killed left beside `path` is removed too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    # Two writers of one file have names of their own, on two nodes too: bytes never mix.
    writer = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    beside = path.with_name(f".{path.stem}.{writer}.part{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())  # a power cut must not leave a renamed, empty file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of this file on this machine left when they were killed."""
    parts = (rf".{path.stem}.{socket.gethostname()}-", rf".part{path.suffix}")
    name = re.compile(r"(\d+)-\d+".join(map(re.escape, parts)))
    for entry in os.listdir(path.parent):
        found = name.fullmatch(entry)
        if found and not _is_running(int(found[1])):
            (path.parent / entry).unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as indented JSON, whole or not at all.

    Args:
        path: where to.
        record: builtins only; it must hold a `schema_version`.

    Raises:
        ValueError: the record has no `schema_version`, or holds NaN, which JSON has not.
    """
    if "schema_version" not in record:
        raise ValueError(f"{path}: a record needs a schema_version.")
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def write_array(path: str | Path, array: np.ndarray) -> None:
    """Write one array as .npy, whole or not at all."""
    with whole_file(path) as beside:
        np.save(beside, array, allow_pickle=False)


def sha256(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes, read in bounded memory."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
