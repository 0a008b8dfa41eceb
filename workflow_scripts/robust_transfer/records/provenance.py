"""The record beside each output: what made it, from what, by which code, where and when."""

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from robust_transfer.files import sha256, write_json
from robust_transfer.records.digests import MEMORY, Code
from robust_transfer.records.machine import environment

SCHEMA_VERSION = 2
SUFFIX = ".prov.json"


def record_path(output: str | Path) -> Path:
    """Return where the record of an output lies: beside it."""
    return Path(f"{output}{SUFFIX}")


def describe_file(path: str | Path) -> dict[str, Any]:
    """Return path, size in bytes and SHA-256 of a file."""
    return {"path": str(path), "bytes": Path(path).stat().st_size, "sha256": sha256(path)}


def modules_of(job: Any) -> dict[str, str]:
    """Return the digest of each module that a job's script runs, by name.

    Args:
        job: what the workflow hands to a script; the script has the name of its rule.
    """
    script = Path(job.scriptdir) / f"{job.rule}.py"
    memory = os.environ.get(MEMORY)
    code = Code(script.parents[1], Path(memory) if memory else None)
    return code.modules(script) if script.is_file() else {}


def write_records(
    job: Any, *, start: datetime, end: datetime, modules: dict[str, str] | None = None
) -> None:
    """Write `<output>.prov.json` beside each output of a finished job.

    Args:
        job: what the workflow hands to a script.
        modules: what `modules_of` gave when the job began: the code may change while it runs.
        start: when the job's body began (UTC).
        end: when it ended (UTC).
    """
    files = describe_files([*job.input, *job.output])
    inputs, outputs = files[: len(job.input)], files[len(job.input) :]
    shared = {
        "schema_version": SCHEMA_VERSION,
        "rule": job.rule,
        "wildcards": dict(job.wildcards.items()),
        "params": dict(job.params.items()),
        "seeds": dict(seeds_in({**dict(job.wildcards.items()), **dict(job.params.items())})),
        "modules": modules,
        "config_sha256": digest_of_values(getattr(job, "config", None)),
        "inputs": inputs,
        "outputs": outputs,
        "threads": job.threads,
        "environment": environment(),
        "git": git_state(Path(job.scriptdir)),
        "start": start.isoformat(),
        "end": end.isoformat(),
        "seconds": (end - start).total_seconds(),
        "command": " ".join(sys.argv),
    }
    for output in outputs:
        write_json(record_path(output["path"]), {"output": output, **shared})


def describe_files(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Describe files as `describe_file`, several at a time: hashing frees the interpreter."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(describe_file, paths))


def digest_of_values(values: Any) -> str:
    """Return the SHA-256 of builtins, whatever the order of their keys."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def seeds_in(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is called a seed, anywhere in nested mappings: (dotted path, value)."""
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        if str(key).rsplit("_", 1)[-1] in ("seed", "seeds"):
            yield f"{path}{key}", value
        else:
            yield from seeds_in(value, f"{path}{key}.")


@functools.cache
def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the code and whether the working tree differs from it.

    Args:
        folder: a folder inside the repository.

    Returns:
        `commit` (None outside a repository) and `dirty`.
    """
    words = ["status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": False}
    lines = answer.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid")]
    dirty = any(not line.startswith("#") for line in lines)
    return {"commit": commits[0] if commits else None, "dirty": dirty}
