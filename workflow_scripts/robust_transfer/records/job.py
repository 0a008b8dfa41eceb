"""What every script shares: a log, clear errors, and a record beside each output."""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from robust_transfer.errors import UserError
from robust_transfer.progress import is_on_panel
from robust_transfer.records.provenance import modules_of, write_records


class _Tee:
    """Writes to the terminal and to the log; the log is spared the redrawing of bars."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.terminal.write(text)
        if not text.startswith("\r"):
            with contextlib.suppress(OSError):  # a full disk must not hide the message itself
                self.log.write(text)
                self.log.flush()
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


DISK_ERRORS = {
    errno.ENOSPC: "the disk is full: free some space, then start again",
    errno.EDQUOT: "the disk quota is spent: free some space, then start again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "writing or reading is not permitted: check who owns the folder",
}


def explain(error: BaseException, where: str) -> str | None:
    """Say in words what a user can do about an error.

    Args:
        error: what a job raised.
        where: what the job writes, for an error that names no file.

    Returns:
        The message for a person, or None where only a traceback helps.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return f"{error.filename or where}: {DISK_ERRORS[error.errno]}. ({error.strerror})"
    return None


@contextlib.contextmanager
def recorded(job: Any) -> Iterator[None]:
    """Run the body of a script: log what it says, then write a record beside each output.

    Args:
        job: what the workflow hands to a script: `input`, `output`, `params`, `wildcards`,
            `threads`, `log` and `rule`.

    Raises:
        SystemExit: the body failed; the message, or the traceback, stands in the log.
    """
    start = datetime.now(UTC)
    log_path, terminal = Path(job.log[0]) if job.log else None, sys.stderr
    with contextlib.ExitStack() as stack:
        if log_path:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(log_path.open("w", encoding="utf-8"))
            shown = terminal
            if is_on_panel():
                shown = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(_Tee(shown, log)))
        try:
            modules = modules_of(job)  # now: the code may be edited while the job runs
            yield
            write_records(job, start=start, end=datetime.now(UTC), modules=modules)
        except Exception as error:
            message = explain(error, str(job.output[0]))
            said = f"Error in {job.rule}: {message}" if message else traceback.format_exc()
            print(said, file=sys.stderr)
            if is_on_panel():
                print(said, file=terminal)
            raise SystemExit(1) from error
