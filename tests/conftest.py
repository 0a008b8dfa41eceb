"""What tests share: quiet threads, and one finished tiny study to copy."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from draw_once import DRAWN
from filelock import FileLock
from robust_transfer.forkserver.client import reach_server
from robust_transfer.records.digests import MEMORY
from workflow import SHARED, TINY_DETECTION, copy_workflow, shared_address, snakemake

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests share two cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # and no thread spins on one while it waits


#: The files that take longest: they begin first, so that no process is left alone with one at the
#: end (`--dist loadfile` hands files out in this order).
LONGEST = (
    "test_slurm", "test_kills", "test_audit_mutations", "test_staleness", "test_audit_detection",
    "test_my_images", "test_workflow", "test_studies", "test_paper_grid", "test_transfer_workflow",
    "test_repository",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, in their order; the rest keep theirs."""
    order = {stem: place for place, stem in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Make a folder that all processes of a test run share: the first makes it, others wait."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(folder := factory.mktemp(name) / "study")
        return folder
    folder = factory.getbasetemp().parent / name / "study"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if not (folder.parent / "made").exists():
            make(folder)
            (folder.parent / "made").touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def memories(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All processes of a test run remember in one place what code says, and what was drawn."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ[MEMORY] = str(shared / "code.json")
    os.environ[DRAWN] = str(shared / "drawn")


@pytest.fixture(scope="session", autouse=True)
def server() -> None:
    """Jobs of all runs of the workflow are forks of one server: each need not load torch again."""
    process = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    os.environ[SHARED] = str(process)
    reach_server(shared_address(process), process).close()


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code and the results of the tiny study; look, do not touch."""

    def make(folder: Path) -> None:
        done = snakemake(copy_workflow(folder))
        assert done.code == 0, done.said

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture
def study_copy(finished_study: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, with its times and records, to change at will."""
    return shutil.copytree(finished_study, tmp_path / "study", symlinks=True)


@pytest.fixture(scope="session")
def audited_study(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study, and its audit as the workflow makes it; do not touch."""

    def make(folder: Path) -> None:
        shutil.copytree(finished_study, folder, symlinks=True)
        done = snakemake(folder, "audit")
        assert done.code == 0, done.said

    return made_once(tmp_path_factory, "audited", make)


@pytest.fixture(scope="session")
def finished_detection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code and the results of the tiny study of detectors; do not touch."""

    def make(folder: Path) -> None:
        done = snakemake(copy_workflow(folder), study=TINY_DETECTION)
        assert done.code == 0, done.said

    return made_once(tmp_path_factory, "finished_detection", make)


@pytest.fixture(scope="session")
def audited_detection(finished_detection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that study, and its audit as the workflow makes it; do not touch."""

    def make(folder: Path) -> None:
        shutil.copytree(finished_detection, folder, symlinks=True)
        done = snakemake(folder, "audit", study=TINY_DETECTION)
        assert done.code == 0, done.said

    return made_once(tmp_path_factory, "audited_detection", make)
