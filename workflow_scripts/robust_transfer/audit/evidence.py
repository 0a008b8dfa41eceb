"""What the checks look at: planned jobs, files, digests and records, read once."""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.audit.plan import Job, Plan
from robust_transfer.files import sha256
from robust_transfer.records.digests import Code
from robust_transfer.records.provenance import record_path


class Evidence:
    """A study on disk, beside its plan.

    Args:
        plan: what should be there.
        root: the folder that paths of the plan are relative to.
        code: the folder of the code: the one that holds `workflow_scripts` and `envs`.
        threads: files hashed at a time.
    """

    def __init__(self, plan: Plan, root: Path, code: Path, *, threads: int = 8) -> None:
        self.plan, self.root, self.code, self.threads = plan, root, code, threads
        self.spoiled: set[str] = set()  # files that a check has failed: others pass them over
        self.stale: set[str] = set()  # titles of jobs that code or config of today would rerun
        self._digests: dict[str, tuple[str, dict[str, str]]] = {}
        self._code = Code(self.code / "workflow_scripts")

    def path(self, path: str) -> Path:
        """Return where a file of the plan lies."""
        return self.root / path

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file of the plan that is here or known by hash; read in parallel."""
        named = {path for job in self.plan.jobs for path in (*job.files, *job.needed)}
        here = sorted(path for path in named if self.path(path).is_file())
        # Large files first, so that no thread is left alone with one at the end.
        here.sort(key=lambda path: -os.path.getsize(self.path(path)))
        with ThreadPoolExecutor(self.threads) as pool:
            digests = pool.map(lambda path: sha256(self.path(path)), here)
        return self.plan.by_hash | dict(zip(here, digests, strict=True))

    @cached_property
    def records(self) -> dict[str, dict[str, Any] | None]:
        """The record of every planned output; None where there is none that can be read."""
        return {path: _record(record_path(self.path(path))) for path in self.plan.maker}

    def record(self, job: Job) -> dict[str, Any] | None:
        """Return what the records of a job say; None unless all outputs have a sound one."""
        found = [self.records[path] for path in job.files if path not in self.spoiled]
        return found[0] if found else None

    def here(self, *paths: str) -> bool:
        """Tell whether all of some files are here, and no check has failed them."""
        return all(self.path(p).is_file() and p not in self.spoiled for p in paths)

    def known(self, path: str) -> bool:
        """Tell whether a file's digest is known and no check has failed it."""
        return path in self.hashes and path not in self.spoiled

    def code_of(self, job: Job) -> tuple[str, dict[str, str]]:
        """Return the digest of a job's code as it is now, and of each of its modules."""
        if job.script not in self._digests:
            script = self.code / "workflow_scripts" / job.script
            self._digests[job.script] = self._code.digest(script), self._code.modules(script)
        return self._digests[job.script]

    def json(self, path: str) -> dict[str, Any]:
        """Read a JSON file of the plan."""
        return json.loads(self.path(path).read_text(encoding="utf-8"))

    def cells(self) -> Iterator[tuple[Job, str, str]]:
        """Yield (job, predictions, record of the transfer) of every seed of every cell."""
        for job in self.plan.with_output("predictions", "records"):
            pairs = zip(job.outputs["predictions"], job.outputs["records"], strict=True)
            yield from ((job, predictions, record) for predictions, record in pairs)


def _record(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none, or it is no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield where nested values differ: `recipe.epochs: 12 then, 13 now`."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys(), key=str):
            yield from differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif then != now:
        yield f"{path}: {_short(then)} then, {_short(now)} now"


def some(found: Iterable[str], *, at_most: int = 6) -> str:
    """Join texts, the first few of them."""
    texts = list(found)
    more = f"; and {len(texts) - at_most} more" if len(texts) > at_most else ""
    return "; ".join(texts[:at_most]) + more


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file, never a pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
