"""The paper's whole grid, planned: few Slurm jobs, in seconds; more jobs cost in proportion."""

import time

import pytest
import yaml
from workflow import ROOT, copy_workflow, planned, snakemake

pytestmark = pytest.mark.workflow


SLURM = ("--profile", "slurm")


def grid(folder, *, epsilons, seeds):
    """A study with the paper's targets and so many backbones."""
    settings = yaml.safe_load((ROOT / "tests/paper_grid.yaml").read_text())
    settings["pretrain"]["backbones"][0].update(epsilon=epsilons, seeds=seeds)
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_papers_grid_is_at_most_2500_slurm_jobs(tmp_path):
    folder = copy_workflow(tmp_path)
    numbers = planned(folder, ROOT / "tests/paper_grid.yaml", *SLURM)
    cells = 12 * 2 * 4 * 10 * 2 * 3
    assert numbers["jobs"] == cells + 2 * 4 * 10 * 3 + 25 + 24 + 1
    # and backbones, scores, caches, features of each cache, their granularity
    assert numbers["slurm_jobs"] <= 2500


def test_time_and_memory_of_a_plan_grow_in_proportion(tmp_path):
    folder = copy_workflow(tmp_path)
    few = planned(folder, grid(folder, epsilons=[0, 1], seeds=[0]), *SLURM)
    many = planned(folder, grid(folder, epsilons=[0, 1, 2, 3], seeds=[0, 1]), *SLURM)
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
