"""What tests share: quiet threads, and one finished tiny study to copy."""

import os
import shutil
from pathlib import Path

import pytest
from workflow import copy_workflow, snakemake

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests share two cores


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code and the results of the tiny study; look, do not touch."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished"))
    done = snakemake(folder)
    assert done.code == 0, done.said
    return folder


@pytest.fixture
def study_copy(finished_study: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with its times and records, to change at will."""
    return shutil.copytree(finished_study, tmp_path / "study", symlinks=True)


@pytest.fixture(scope="session")
def audited_study(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study, and its audit as the workflow makes it; do not touch."""
    folder = tmp_path_factory.mktemp("audited") / "study"
    shutil.copytree(finished_study, folder, symlinks=True)
    done = snakemake(folder, "audit")
    assert done.code == 0, done.said
    return folder
