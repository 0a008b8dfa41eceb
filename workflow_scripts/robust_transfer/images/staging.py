"""The folder of an unfinished cache: locked, found again after a kill, removed at the end."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from robust_transfer.errors import DataError

_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full. Free some space, or set cache_root to another disk",
    errno.EDQUOT: "your disk quota is used up. Free some space, or move cache_root elsewhere",
    errno.EROFS: "the disk is read-only. Set cache_root to a folder that can be written",
    errno.EACCES: "writing is not permitted. Change the permissions, or move cache_root elsewhere",
    errno.EPERM: "writing is not permitted. Change the permissions, or move cache_root elsewhere",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Remove it, or move cache_root",
    errno.EEXIST: "a part of this path is a file, not a folder. Remove it, or move cache_root",
}


class InterruptedBuildError(DataError):
    """A build was ended from outside: what is done is kept, and gone on from."""


@contextlib.contextmanager
def unfinished_folder(folder: Path, question: str) -> Iterator[Path]:
    """Give the folder of an unfinished build with this question; others that died are removed.

    It is removed at the end, after an error too; only what ends the process, or interrupts the
    build, leaves it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        staging = folder / f".unfinished-{question}"
        if not _locked(staging, locks):  # another process builds the same: each on its own
            staging = folder / f".unfinished-{question}-{socket.gethostname()}-{os.getpid()}"
            _locked(staging, locks)
        for old in folder.glob(".unfinished-*"):
            with contextlib.ExitStack() as lock:
                if old != staging and _locked(old, lock):
                    shutil.rmtree(old, ignore_errors=True)
        try:
            yield staging
        except (InterruptedBuildError, KeyboardInterrupt):
            raise
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        shutil.rmtree(staging, ignore_errors=True)


def _locked(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Make a folder and lock it until the stack ends; say whether no other process has it."""
    folder.mkdir(exist_ok=True)
    lock = stack.enter_context((folder / "lock").open("a"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into words that name the folder and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise DataError(f"{folder}: {_DISK_ERRORS[error.errno]}.") from error
