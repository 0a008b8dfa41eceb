"""Killed at twenty random moments, controller and jobs alike: the same results, byte for byte."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from robust_transfer.forkserver.client import SERVER
from workflow import SHARED, TINY, copy_workflow, environment, snakemake

pytestmark = pytest.mark.workflow

KILLS = 20
MOMENTS = (1.5, 7.0)  # seconds after the start: from reading the config to a training under way
COSTS = ["seconds", "peak_memory_bytes"]  # of a row: no two runs agree on them


def processes_of(session: int) -> list[int]:
    """The processes of a session, the oldest first."""
    listed = subprocess.run(
        ["ps", "--no-headers", "-o", "pid", "--sort", "start_time", "-s", str(session)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(word) for word in listed.stdout.split()]


def kill_one_or_all(session: int, chance: random.Random) -> None:
    """A power cut, the end of the controller alone (its jobs go on), or of the newest job."""
    processes = processes_of(session)
    chosen = chance.choice([processes, processes[:1], processes[-1:]])
    for process in chosen:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def results(folder: Path) -> dict[str, bytes]:
    """All results whose bytes are promised: no logs, records of runs, or times in them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == "analysis/accuracy.csv":
            found[name] = pd.read_csv(path).drop(columns=COSTS).to_csv().encode()
        elif path.suffix in (".safetensors", ".npz") or name in (
            "analysis/pearson.csv", "analysis/welch.csv", "analysis/welch_selected.csv",
        ):  # fmt: skip
            found[name] = path.read_bytes()
    return found


def test_twenty_kills_change_nothing(finished_study, tmp_path):
    folder = copy_workflow(tmp_path / "killed")
    chance = random.Random(5)
    for _ in range(KILLS):
        # Jobs are forks of a server that is killed with them, or of one that outlives them.
        server = chance.choice([{}, {SERVER: os.environ[SHARED]}])
        with (folder / "killed.log").open("a") as log:
            run = subprocess.Popen(
                ["snakemake", "--cores", "2", *TINY], env=environment() | server,
                cwd=folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        time.sleep(chance.uniform(*MOMENTS))
        kill_one_or_all(run.pid, chance)
        if run.poll() is None and chance.random() < 0.5:
            time.sleep(1)
        for process in processes_of(run.pid)[:1]:
            if process == run.pid:  # a job was killed: end its controller too, the others go on
                os.kill(process, signal.SIGKILL)
        run.wait(timeout=60)
    done = snakemake(folder)
    assert done.code == 0, done.said
    assert results(folder / "results/tiny") == results(finished_study / "results/tiny")
    assert "Nothing to be done" in snakemake(folder).said
