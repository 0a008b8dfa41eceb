"""Sides of a comparison run in processes of their own, each with the environment of its users."""

import importlib
import os

import pytest
import torch
from robust_transfer.benchmark.cases import Case
from robust_transfer.benchmark.elsewhere import Elsewhere, as_jobs, as_scripts
from robust_transfer.benchmark.timed import TimedSteps
from robust_transfer.job_environment import MEMORY, SLEEP, SPIN
from robust_transfer.training.device import cpus


@pytest.fixture
def chosen(monkeypatch):
    """An environment in which this process itself was started as a job."""
    for name, value in (MEMORY | SLEEP | SPIN).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLOUR", "blue")


def test_a_script_is_started_with_nothing_that_jobs_are_given(chosen):
    given = as_scripts()
    assert given["COLOUR"] == "blue"
    assert not given.keys() & (MEMORY | SLEEP | SPIN).keys()


@pytest.mark.parametrize(("threads", "waiting"), [(1, SLEEP | SPIN), (cpus() + 1, SLEEP)])
def test_a_job_is_started_as_the_only_one_on_the_machine(chosen, threads, waiting):
    assert as_jobs(threads) == as_scripts() | MEMORY | waiting


def test_another_process_has_its_own_environment_and_tells_what_went_wrong(chosen, tmp_path):
    before = dict(os.environ)
    script = as_scripts() | {"COLOUR": "red"}
    other = Elsewhere(importlib.import_module, "os", environment=script, threads=1)
    assert dict(os.environ) == before
    assert [other.ask("getenv", name) for name in ("COLOUR", "OMP_WAIT_POLICY")] == ["red", None]
    assert other.ask("getpid") != os.getpid()
    with pytest.raises(FileNotFoundError, match="absent") as raised:
        other.ask("listdir", str(tmp_path / "absent"))
    assert "in _serve" in raised.value.__notes__[0]
    assert other.ask("getenv", "COLOUR") == "red"  # an error does not end it
    with pytest.raises(ChildProcessError, match="ended with code 3"):
        other.ask("_exit", 3)
    other.end()


def test_steps_are_built_and_timed_in_another_process():
    case = Case("resnet_small", 32, "pgd-3")
    steps = Elsewhere(TimedSteps, torch.device("cpu"), environment=as_jobs(1), threads=1)
    seconds, peak = steps.ask("warm", "ours", case, 2)
    assert 0 < seconds < 60
    assert peak is None or peak > 0
    assert 0 < steps.ask("seconds", "ours", 2) < 60
    steps.ask("forget")
    with pytest.raises(KeyError):
        steps.ask("seconds", "ours", 1)
    steps.end()
