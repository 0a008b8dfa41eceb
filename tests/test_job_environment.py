"""What jobs start with: memory that is kept, threads that wait as fits the machine."""

import os
import subprocess
import sys

import pytest
from robust_transfer.job_environment import MEMORY, SLEEP, SPIN, job_environment
from workflow import TINY, copy_workflow, snakemake

ALL = MEMORY | SLEEP | SPIN
SHOWN = "OPENMP DISPLAY ENVIRONMENT END"
TELL = """
print("waiting:", os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"),
      file=sys.stderr)
"""


def test_threads_with_a_cpu_each_spin_before_they_sleep_and_others_sleep_at_once():
    assert job_environment({}, crowded=False) == ALL
    assert job_environment({}, crowded=True) == MEMORY | SLEEP


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize(
    "own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "0"}, SLEEP, SLEEP | SPIN]
)
def test_a_choice_that_is_there_already_is_kept(crowded, own):
    assert job_environment(own | {"PATH": "/bin"}, crowded=crowded) == MEMORY


@pytest.mark.parametrize("name", MEMORY)
def test_a_users_own_limit_of_memory_is_kept(name):
    added = job_environment({name: "1"}, crowded=False)
    assert added == {other: value for other, value in ALL.items() if other != name}


def test_what_jobs_inherit_once_is_not_chosen_again():
    for crowded in (False, True):
        inherited = job_environment({}, crowded=crowded)
        assert job_environment(inherited, crowded=not crowded) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP comes with torch on Linux")
@pytest.mark.parametrize(("crowded", "count"), [(False, "5000"), (True, "0")])
def test_torch_reads_the_choice(crowded, count):
    """GNU's OpenMP says at its start what it understood."""
    kept = {name: value for name, value in os.environ.items() if name not in ALL}
    chosen = job_environment(kept, crowded=crowded)
    said = subprocess.run(
        [sys.executable, "-c", "import torch"], env=kept | chosen | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert SHOWN in said
    assert f"GOMP_SPINCOUNT = '{count}'" in said


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("cores", "words", "told"),
    [
        (1, (), "waiting: PASSIVE 5000"),
        (100_000, (), "waiting: PASSIVE None"),
        (100_000, ("--executor", "slurm", "--jobs", "64"), "waiting: PASSIVE 5000"),
    ],
)
def test_the_workflow_chooses_by_its_cores(tmp_path, monkeypatch, cores, words, told):
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    folder = copy_workflow(tmp_path / "clone")
    with (folder / "Snakefile").open("a") as snakefile:
        snakefile.write(TELL)
    done = snakemake(folder, "--dry-run", *words, study=TINY, cores=cores)
    assert done.code == 0, done.said
    assert told in done.said
