"""The paper's whole grid, planned: few Slurm jobs, in seconds; more jobs cost in proportion."""

import re
import subprocess
import sys
import time

import pytest
import yaml
from workflow import ROOT, copy_workflow, environment, snakemake

pytestmark = pytest.mark.workflow


def planned(folder, study):
    """Plan a study for Slurm: the numbers that `count_slurm_jobs.py` prints."""
    words = ["--dry-run", "--cores", "8", "--profile", "slurm", "--configfile", str(study)]
    told = subprocess.run(
        [sys.executable, str(ROOT / "tests/count_slurm_jobs.py"), *words],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = re.findall(r"(\w+)=([\d.]+)", told.stdout)
    assert found, told.stdout + told.stderr
    return {name: float(value) for name, value in found}


def grid(folder, *, epsilons, seeds):
    """A study with the paper's targets and so many backbones."""
    settings = yaml.safe_load((ROOT / "tests/paper_grid.yaml").read_text())
    settings["pretrain"]["backbones"][0].update(epsilon=epsilons, seeds=seeds)
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_papers_grid_is_at_most_2500_slurm_jobs(tmp_path):
    folder = copy_workflow(tmp_path)
    numbers = planned(folder, ROOT / "tests/paper_grid.yaml")
    cells = 12 * 2 * 4 * 10 * 2 * 3
    assert numbers["jobs"] == cells + 2 * 4 * 10 * 3 + 25 + 24 + 1
    # and backbones, scores, caches, features of each cache, their granularity
    assert numbers["slurm_jobs"] <= 2500


def test_time_and_memory_of_a_plan_grow_in_proportion(tmp_path):
    folder = copy_workflow(tmp_path)
    few = planned(folder, grid(folder, epsilons=[0, 1], seeds=[0, 1]))
    many = planned(folder, grid(folder, epsilons=[0, 1, 2, 3, 4], seeds=[0, 1, 2]))
    times_more = many["jobs"] / few["jobs"]
    assert times_more > 3
    assert many["seconds"] < 1.5 * times_more * few["seconds"]
    assert many["memory_mb"] < times_more * few["memory_mb"]


def test_the_cluster_command_plans_in_a_fresh_clone(tmp_path):
    folder = copy_workflow(tmp_path)
    started = time.monotonic()
    told = snakemake(folder, "--dry-run", "--profile", "slurm", cores=8, study=())
    assert told.code == 0, told.said
    assert told.rules_run["transfer_backbone"] > 10
    assert time.monotonic() - started < 120
