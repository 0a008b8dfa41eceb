"""Runs the workflow as a user does: a copy of the code, a folder of its own, the tiny study."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "rules", "workflow_scripts", "envs", "profiles", "slurm")
TINY = ("--configfile", "tests/tiny.yaml")
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
            shutil.copytree(source, goal, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, goal)
    return folder


def environment() -> dict[str, str]:
    """The environment of a fresh shell: no Python path of the tests' own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


def snakemake(folder: Path, *words: str, cores: int = 2, study: tuple[str, ...] = TINY) -> Finished:
    """Type `snakemake --cores N` with the tiny study, and more words, in a folder."""
    done = subprocess.run(
        ["snakemake", "--cores", str(cores), *words, *study],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Finished(done.returncode, done.stdout + done.stderr)


def plan(folder: Path, *words: str, study: tuple[str, ...] = TINY) -> dict[str, int]:
    """Say which rules would run, and how often."""
    told = snakemake(folder, "--dry-run", *words, study=study)
    assert told.code == 0, told.said
    return told.rules_run
