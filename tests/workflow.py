"""Runs the workflow as a user does: a copy of the code, a folder of its own, the tiny study."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust_transfer.forkserver import client
from robust_transfer.forkserver.client import SERVER

ROOT = Path(__file__).parents[1]
CLIENT = Path(client.__file__)
PARTS = ("Snakefile", "config.yaml", "rules", "workflow_scripts", "envs", "profiles", "slurm")
TINY = ("--configfile", "tests/tiny.yaml")
SECONDS = 600  # of one command: far above what it takes, so that nothing hangs for ever
TINY_DETECTION = ("--configfile", "tests/tiny_detection.yaml")


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit code and all that it printed."""

    code: int
    said: str

    @property
    def rules_run(self) -> dict[str, int]:
        """How often each rule ran, or would, by Snakemake's own table of jobs."""
        counts: dict[str, int] = {}
        lines = iter(self.said.splitlines())
        for line in lines:
            if line.startswith("job ") and "count" in line:
                next(lines)
                for row in lines:
                    words = row.split()
                    if len(words) != 2 or words[0] == "total":
                        break
                    counts[words[0]] = int(words[1])
                break
        counts.pop("all", None)
        return counts


def copy_workflow(folder: Path) -> Path:
    """Copy the code into a new folder, as a clone would have it."""
    for part in (*PARTS, TINY[1], TINY_DETECTION[1]):
        source, goal = ROOT / part, folder / part
        goal.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, goal)  # what is compiled too: it is valid by its source's time
        else:
            shutil.copy(source, goal)
    return folder


def environment() -> dict[str, str]:
    """The environment of a fresh shell: no Python path of the tests' own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


SHARED = "ROBUST_TRANSFER_TESTS_SERVER"  # the process whose server the runs of all tests share


def shared_address(process: int) -> str:
    """Where that server listens, as rules/forks.smk names it."""
    return f"robust-transfer-{process}-shared"


# Loading Snakemake takes longer than planning a small study: a process that has done so stands by,
# and each command is a fork of it.
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload(["snakemake.cli", "nbformat"])


def snakemake(folder: Path, *words: str, cores: int = 2, study: tuple[str, ...] = TINY) -> Finished:
    """Type `snakemake --cores N` with the tiny study, and more words, in a folder."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as said:
        typed = ["--cores", str(cores), *map(str, words), *study]
        variables = {SERVER: os.environ[SHARED]} | environment()
        arguments = (typed, folder, variables, said.name)
        process = LOADED.Process(target=_run_snakemake, args=arguments)
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            raise AssertionError(f"{typed} ran for more than {SECONDS} s:\n{said.read()}")
        return Finished(process.exitcode, said.read())


def _run_snakemake(words: list[str], folder: Path, variables: dict[str, str], said: str) -> None:
    """Do what the command `snakemake` does, its output in a file."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = [place for place in sys.path if ROOT not in (Path(place), Path(place).parent)]
    sys.argv = ["snakemake", *words]
    stream = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    from snakemake.cli import main

    main()


def start_python(folder: Path, text: str, *words: str, **variables: str) -> subprocess.Popen[str]:
    """Begin a program as `python -c TEXT WORDS` would, in a process that has torch already."""
    script = folder / f"tmp{uuid.uuid4().hex}.program.py"  # named as the workflow names scripts
    begin = f"import sys; sys.argv[1:] = {words!r}\n"
    script.write_text(begin + text, encoding="utf-8")
    process = int(os.environ[SHARED])
    server = {"address": shared_address(process), "process": process,
              "modules": {"program": ["torch", "torchvision"]}}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-I", "-S", CLIENT, sys.executable, str(script)],
        env=environment() | variables | {SERVER: json.dumps(server)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def plan(folder: Path, *words: str, study: tuple[str, ...] = TINY) -> dict[str, int]:
    """Say which rules would run, and how often."""
    told = snakemake(folder, "--dry-run", *words, study=study)
    assert told.code == 0, told.said
    return told.rules_run


def planned(folder: Path, study: str | Path, *words: str) -> dict[str, Any]:
    """Plan a large study, and say what `plan_only.py` prints of it."""
    script = ROOT / "tests/plan_only.py"
    told = subprocess.run(
        [sys.executable, script, "--dry-run", "--cores", "8", *words, "--configfile", study],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return json.loads(told.stdout.splitlines()[-1])
