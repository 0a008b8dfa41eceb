"""Who runs the workflow in a folder: those at work told apart from those that were killed."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from robust_transfer.files import write_json

SCHEMA_VERSION = 1


def identity(pid: int) -> str | None:
    """Return what tells a process from a later one with its number; None: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]  # the time of its start, in clock ticks


def sign_in(folder: Path) -> None:
    """Leave word of this process in a folder; word of processes that are gone is removed."""
    for path in folder.glob("*.json"):
        if _is_gone(_read(path)):
            path.unlink(missing_ok=True)
    host, pid = socket.gethostname(), os.getpid()
    record = {"schema_version": SCHEMA_VERSION, "host": host, "pid": pid, "start": identity(pid)}
    write_json(folder / f"{host}-{pid}.json", record)


def all_are_gone(folder: Path) -> bool:
    """Tell whether every process that signed in is gone for certain, and there was one.

    A process of another machine counts as at work: from here, nobody can tell.
    """
    signed = [_read(path) for path in folder.glob("*.json")]
    return bool(signed) and all(_is_gone(record) for record in signed)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _is_gone(record: dict[str, Any]) -> bool:
    if record.get("host") != socket.gethostname() or identity(os.getpid()) is None:
        return False  # elsewhere, or on a system without /proc
    return identity(record["pid"]) != record["start"]
