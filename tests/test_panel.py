"""The line of a terminal that says what runs, how far it is, and how long it will take."""

import os
import pty
import re
import subprocess

import pytest
from robust_transfer.panel import Panel
from workflow import TINY, copy_workflow, environment


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_the_line_says_what_runs_and_how_far_its_log_says_it_is(clock, tmp_path):
    log = tmp_path / "train.log"
    log.write_text(
        "images: 9 of 10 (90%), 3 a second, 1.0 s to go\nsteps: 4 of 8 (50%), 1 a second"
    )
    panel = Panel(clock)
    panel.plan({"train": 2, "score": 3}, {})
    panel.begin(1, "train", "resnet18", str(log))
    panel.begin(2, "score", "digits", str(tmp_path / "not there yet.log"))
    clock.now += 7
    assert panel.line(200) == "0 of 5 jobs | train resnet18 50% | score digits 7.0 s"


def test_what_is_left_is_estimated_from_this_run_then_from_earlier_ones(clock):
    panel = Panel(clock)
    panel.plan({"train": 3, "score": 4}, {"train": 1000.0, "score": 5.0})
    panel.begin(1, "train", "", None)
    clock.now += 20
    panel.end(1)
    panel.begin(2, "train", "", None)
    panel.begin(3, "score", "", None)
    clock.now += 4
    # two trainings of 20 s, of which 4 s are over; four scorings of 5 s, 4 s over; two at a time
    assert panel.seconds_left() == ((2 * 20 - 4 + 4 * 5 - 4) / 2, True)
    assert panel.line(200).startswith("1 of 7 jobs, about 26.0 s to go | ")


def test_a_rule_that_was_never_timed_makes_the_estimate_a_lower_bound(clock):
    panel = Panel(clock)
    panel.plan({"train": 1, "score": 2}, {"score": 3.0})
    assert panel.seconds_left() == (6.0, False)
    assert "at least 6.0 s to go" in panel.line(80)


def test_a_job_longer_than_expected_never_counts_against_the_others(clock):
    panel = Panel(clock)
    panel.plan({"train": 1, "score": 1}, {"train": 10.0, "score": 3.0})
    panel.begin(1, "train", "", None)
    clock.now += 500
    assert panel.seconds_left() == (3.0, True)


def test_a_failed_job_is_still_to_be_done(clock):
    panel = Panel(clock)
    panel.plan({"train": 1}, {})
    panel.begin(1, "train", "", None)
    panel.end(1, done=False)
    assert panel.line(80) == "0 of 1 jobs"


def test_the_line_is_cut_to_the_width_of_the_terminal(clock):
    panel = Panel(clock)
    panel.plan({"train": 1}, {})
    panel.begin(1, "train", "x" * 100, None)
    assert len(panel.line(40)) == 40
    assert panel.line(40).endswith("…")


@pytest.mark.workflow
def test_a_terminal_shows_the_panel_and_a_log_does_not(tmp_path):
    folder = copy_workflow(tmp_path / "clone")
    target = "results/tiny/pretrain/resnet_small_w4-letters-l2-eps0-seed0/weights.safetensors"
    here, there = pty.openpty()
    run = subprocess.Popen(
        ["snakemake", "--cores", "1", target, *TINY],
        cwd=folder, env=environment() | {"COLUMNS": "200"}, stdout=subprocess.DEVNULL, stderr=there,
    )  # fmt: skip
    os.close(there)
    shown = b""
    while True:
        try:
            part = os.read(here, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(here)
    text = shown.decode()
    assert run.wait(timeout=60) == 0, text
    assert re.search(
        r"1 of 2 jobs.* \| pretrain_backbone resnet_small_w4-letters-l2-eps0-seed0", text
    )
    log = (
        folder / "results/tiny/pretrain/resnet_small_w4-letters-l2-eps0-seed0/pretrain_backbone.log"
    )
    assert "of 2 jobs" not in log.read_text()
    assert "\x1b" not in log.read_text()
