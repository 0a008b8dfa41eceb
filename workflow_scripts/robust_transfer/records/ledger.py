"""What each file holds, remembered by its status, so that an unchanged file is read once only."""

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from robust_transfer.files import sha256, write_json

SCHEMA_VERSION = 1
# A file that changed so short a time ago could change again within one tick of the file system's
# clock: its digest is good for now, but not remembered.
SETTLING_SECONDS = 1.0
Status = list[int]


def status(path: str | Path) -> Status | None:
    """Return what changes when a file does: size, times in ns, inode; None: there is no file.

    The time of the last change of status (ctime) cannot be set by a program, so that a file that
    was edited and given its old time back is noticed.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


class Ledger:
    """Digests and facts by file, valid while the file's status is as it was.

    Attributes:
        path: where the ledger is kept between runs.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._changed = False
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            readable = kept["schema_version"] == SCHEMA_VERSION
        except (OSError, ValueError, KeyError, TypeError):
            readable = False  # lost or damaged: files are read again, which is slow, never wrong
        self._digests: dict[str, tuple[Status, str]] = kept["digests"] if readable else {}
        self._facts: dict[str, tuple[Status, Any]] = kept["facts"] if readable else {}

    def knows(self, path: str) -> bool:
        """Tell whether the digest of a file is known without reading the file."""
        known = self._digests.get(path)
        return known is not None and known[0] == status(path)

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        now = status(path)
        known = self._digests.get(path)
        if known is not None and known[0] == now:
            return known[1]
        digest = sha256(path)
        if _settled(now):
            self._digests[path] = (now or [], digest)
            self._changed = True
        return digest

    def set_time(self, path: str, seconds: float) -> None:
        """Give a file another time, and keep what is known of its content.

        Raises:
            OSError: the file belongs to someone else.
        """
        digest = self.sha256(path)
        os.utime(path, (seconds, seconds))
        self._digests[path] = (status(path) or [], digest)
        self._changed = True

    def read_all(self, paths: Iterable[str], workers: int = 8) -> None:
        """Read files that are not known yet, several at a time."""
        unknown = [path for path in dict.fromkeys(paths) if not self.knows(path)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(self._read_if_possible, unknown))

    def _read_if_possible(self, path: str) -> None:
        try:
            self.sha256(path)
        except OSError:
            return  # who asks for its digest hears of it

    def fact(self, path: str) -> Any:
        """Return what was noted about a file, or None when nothing was or the file changed."""
        noted = self._facts.get(path)
        return noted[1] if noted is not None and noted[0] == status(path) else None

    def note(self, path: str, fact: Any) -> None:
        """Note something about a file as it is now; builtins only."""
        now = status(path)
        if _settled(now):
            self._facts[path] = (now or [], fact)
            self._changed = True

    def save(self) -> None:
        """Write the ledger, if anything is new; files that are gone are forgotten."""
        if not self._changed:
            return
        kept = {path: known for path, known in self._digests.items() if os.path.exists(path)}
        noted = {path: known for path, known in self._facts.items() if os.path.exists(path)}
        write_json(self.path, {"schema_version": SCHEMA_VERSION, "digests": kept, "facts": noted})
        self._changed = False


def _settled(now: Status | None) -> bool:
    """Tell whether a file's last change is old enough for its status to speak for its content."""
    return now is not None and time.time_ns() - now[2] > SETTLING_SECONDS * 1e9
