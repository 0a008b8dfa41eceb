"""Running a job's script again, into another folder, as the workflow would run it."""

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from robust_transfer.audit.plan import Job

# What a job may use, where rules ask for it; no result depends on them.
RESOURCES = {"gpu": 1, "images_on_device_mb": 40_000}


class Named(list[Any]):
    """Paths or parameters as a script sees them: a list, and an attribute for each name.

    Args:
        named: for each name one value, or a list of values that count one by one.
        whole: names of lists that count as one value, such as parameters.
    """

    def __init__(self, named: dict[str, Any], *, whole: bool = False) -> None:
        lists = [one if isinstance(one, list) and not whole else [one] for one in named.values()]
        super().__init__(value for values in lists for value in values)
        self._named = dict(named)

    def __getattr__(self, name: str) -> Any:
        """Return the value of a name."""
        try:
            return self.__dict__["_named"][name]
        except KeyError:
            raise AttributeError(name) from None

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values."""
        yield from self._named.items()


def as_job(
    job: Job, params: dict[str, Any], folder: Path, scripts: Path, *, threads: int
) -> SimpleNamespace:
    """Make the object that a script expects, with outputs in another folder.

    Args:
        job: which; its inputs are read where they are.
        params: as they were recorded.
        folder: where outputs and log go, under the same names as in the study.
        scripts: the folder `workflow_scripts`.
        threads: as recorded: bits depend on it.
    """
    outputs = {name: [str(folder / path) for path in paths] for name, paths in job.outputs.items()}
    for path in job.files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    return SimpleNamespace(
        rule=job.rule,
        input=Named({name: job.as_given(name, paths) for name, paths in job.inputs.items()}),
        output=Named({name: job.as_given(name, paths) for name, paths in outputs.items()}),
        params=Named(params, whole=True),
        wildcards=Named(job.wildcards, whole=True),
        log=[str(folder / f"{job.rule}.log")],
        threads=threads,
        resources=Named(RESOURCES, whole=True),
        config=None,
        scriptdir=str((scripts / job.script).parent),
    )


def run_here(script: Path, handle: str, job: SimpleNamespace, root: Path) -> str:
    """Run a script in this process, with `root` as working directory.

    Returns:
        What went wrong, in words; nothing where all went well.
    """
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.chdir(root):
        try:
            runpy.run_path(str(script), init_globals={handle: job}, run_name="__main__")
        except SystemExit as stop:
            if stop.code:
                return said.getvalue().strip()[-400:]
    return ""


def run_apart(
    job: Job,
    record: dict[str, Any],
    folder: Path,
    *,
    root: Path,
    code: Path,
    handle: str,
) -> str:
    """Run a job in a process of its own, with the threads and variables that its record names.

    Args:
        job: which.
        record: of one of its outputs.
        folder: where outputs go.
        root: the study's working directory.
        code: the folder that holds `workflow_scripts`.
        handle: the name under which a script finds its job.

    Returns:
        What went wrong, in words; nothing where all went well.
    """
    scripts = (code / "workflow_scripts").resolve()
    words = {
        "job": vars(job),
        "params": record["params"],
        "folder": str(folder.resolve()),
        "scripts": str(scripts),
        "threads": record["threads"],
        "handle": handle,
    }
    variables = record["environment"].get("variables", {})
    done = subprocess.run(
        [sys.executable, "-m", "robust_transfer.audit.rerun"],
        input=json.dumps(words),
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(scripts)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip()[-400:] if done.returncode else ""


def main() -> None:
    """Run the job that standard input describes."""
    given = json.load(sys.stdin)
    job, scripts = Job(**given["job"]), Path(given["scripts"])
    folder, threads = Path(given["folder"]), given["threads"]
    made = as_job(job, given["params"], folder, scripts, threads=threads)
    wrong = run_here(scripts / job.script, given["handle"], made, Path.cwd())
    if wrong:
        sys.exit(wrong)


if __name__ == "__main__":
    main()
