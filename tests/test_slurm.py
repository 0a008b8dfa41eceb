"""The study through a real Slurm, as typed: jobs, devices, cancelled, lost, killed, gone on."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from slurm_cluster import Cluster, running_cluster, why_not
from workflow import ROOT, copy_workflow

REASON = why_not()
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(REASON is not None, reason=f"no Slurm here: {REASON}"),
]
COMMAND = ("snakemake", "--cores", "8", "--profile", "slurm")
SECONDS = 900  # of one command: far above what it takes, so that nothing hangs for ever
WEIGHTS = "results/tiny/pretrain/resnet_small_w4-letters-l2-eps0.25-seed0/weights.safetensors"
STATE = ".weights.safetensors.training.safetensors"


def merge(settings, overlay):
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            merge(settings[key], value)
        else:
            settings[key] = value


def make_study(folder: Path) -> Path:
    """A clone whose config is a study of two backbones, their transfers and their detectors."""
    copy_workflow(folder)
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    merge(settings, yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()))
    settings["pretrain"]["backbones"][0]["seeds"] = [0]
    settings["analysis"]["tests"] = ["pearson"]
    detect = yaml.safe_load((ROOT / "tests/tiny_detection.yaml").read_text())["detect"]
    merge(settings, {"detect": detect | {"seeds": [0]}})
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    # the plugin asks 10 s later than it did before, each time that no job has ended
    edit(folder / "slurm/profile.yaml", "status-checks: 20", "status-checks: 1")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def study(cluster, tmp_path_factory) -> Path:
    """A study that has run through Slurm, once."""
    folder = make_study(tmp_path_factory.mktemp("study") / "clone")
    code, said = finish(start(cluster, folder))
    assert code == 0, said
    return folder


class Typed:
    def __init__(self, process, log):
        self.process, self.log = process, log


def start(cluster: Cluster, folder: Path, *words: str) -> Typed:
    log = folder / f"typed{len(list(folder.glob('typed*')))}.log"
    limit = ("timeout", "--foreground", "--kill-after=10", str(SECONDS))
    return Typed(cluster.start(*limit, *COMMAND, *words, cwd=folder, log=log), log)


def finish(typed: Typed) -> tuple[int, str]:
    code = typed.process.wait(timeout=SECONDS + 30)
    return code, typed.log.read_text()


def wait_for(what, seconds=400):
    """Wait until a function gives something true, and return that."""
    for _ in range(seconds * 5):
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def controller(typed: Typed) -> int:
    """The process of Snakemake itself, below `nsenter` and `timeout`."""

    def children(pid):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    found = [typed.process.pid]
    while children(found[-1]):
        name = Path(f"/proc/{found[-1]}/cmdline").read_text()
        if "snakemake" in name and "timeout" not in name and "nsenter" not in name:
            break
        found.append(children(found[-1])[0])
    return found[-1]


def test_the_study_runs_as_typed_and_asks_for_what_its_rules_need(cluster, study):
    assert (study / "results/tiny/report/report.html").is_file()
    jobs = cluster.ask("scontrol", "--oneliner", "show", "job").splitlines()
    # caches, backbones, scores, probes (of one backbone with their features), full transfers;
    # granularity;
    # scenes, detectors and their average precision
    assert len(jobs) == (2 + 2 + 2 + 2 + 2 + 1) + (1 + 2 + 2)
    no_gpu = (
        "build_image_cache", "measure_granularity", "build_scene_cache", "score_detections",
    )  # fmt: skip
    for job in jobs:
        gpu = "gpu:1" in job.replace("gres/gpu=1", "gpu:1").replace("gres:", "")
        assert gpu == (not any(rule in job for rule in no_gpu)), job
        assert "Requeue=1" in job
    for rule in ("pretrain_backbone", "train_detector"):
        trained = next(job for job in jobs if rule in job)
        assert "TimeLimit=2-00:00:00" in trained
        assert re.search(r"mem=(32000M|31\.25G)", trained)
    found = pd.read_csv(study / "results/tiny/analysis/detection.csv")
    assert len(found.query("metric == 'box_ap50'")) == 2


def test_jobs_that_ran_at_once_had_devices_of_their_own(study):
    logs = (study / "results/tiny").rglob("*.json.prov.json")
    assert list(logs)
    seen = {}
    for path in sorted((study / "results/tiny/pretrain").rglob("weights.safetensors.prov.json")):
        record = yaml.safe_load(path.read_text())
        seen[path] = record["environment"]["visible_devices"]
    assert sorted(seen.values()) == ["0", "1"]


def test_a_second_run_does_nothing(cluster, study):
    code, said = finish(start(cluster, study))
    assert code == 0
    assert "Nothing to be done" in said


@pytest.fixture
def training(cluster, study):
    """A training on the cluster that has saved its state; ends as it would have undisturbed."""
    edit(study / "workflow_scripts/robust_transfer/training/loop.py",
         "SECONDS_BETWEEN_STATES = 60.0", "SECONDS_BETWEEN_STATES = 0.2")  # fmt: skip
    edit(study / "config.yaml", "epochs: 2", "epochs: 30")
    yield lambda: begin(cluster, study)
    edit(study / "config.yaml", "epochs: 30", "epochs: 2")
    edit(study / "workflow_scripts/robust_transfer/training/loop.py",
         "SECONDS_BETWEEN_STATES = 0.2", "SECONDS_BETWEEN_STATES = 60.0")  # fmt: skip


def state(study: Path) -> int:
    """When the training last saved its state."""
    return (study / WEIGHTS).with_name(STATE).stat().st_mtime_ns


def begin(cluster, study):
    (study / WEIGHTS).unlink(missing_ok=True)
    typed = start(cluster, study, WEIGHTS)
    wait_for(lambda: (study / WEIGHTS).with_name(STATE).exists())
    (job,) = wait_for(lambda: cluster.jobs("RUNNING"))
    return typed, job


def bring_back(cluster, node):
    """Return a node to service; Slurm itself may have been quicker (ReturnToService=2)."""
    with contextlib.suppress(subprocess.CalledProcessError):
        cluster.ask("scontrol", "update", f"nodename={node}", "state=resume")
    wait_for(lambda: "down" not in cluster.ask("sinfo", "--noheader", "--format=%t"))


def went_on(study):
    """Whether the training counted from where it was: fewer steps than there are, to the end."""
    return (study / WEIGHTS).is_file() and not (study / WEIGHTS).with_name(STATE).exists()


def test_a_cancelled_a_lost_and_an_orphaned_training_all_go_on(cluster, study, training):
    # scancel: the controller sends it again, and it goes on from its state
    typed, job = training()
    cluster.ask("scancel", job)
    wait_for(lambda: set(cluster.jobs("RUNNING", "PENDING")) - {job})
    saved = state(study)
    wait_for(lambda: state(study) != saved)
    # the node goes down: Slurm itself puts the job back into the queue
    (job,) = cluster.jobs("RUNNING")
    node = cluster.ask("sinfo", "--noheader", "--format=%n").strip()
    cluster.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    wait_for(lambda: job in cluster.jobs("PENDING"))
    bring_back(cluster, node)
    # Else in two minutes; before its old processes are gone, Slurm drains a node that gets it.
    cluster.ask("scontrol", "update", f"jobid={job}", "starttime=now+8")
    wait_for(lambda: job in cluster.jobs("RUNNING"))
    # kill -9 of the controller: the same command again recovers
    os.kill(controller(typed), signal.SIGKILL)
    typed.process.wait(timeout=20)
    code, said = finish(start(cluster, study, WEIGHTS))
    assert code == 0, said
    assert went_on(study)


def test_control_c_cancels_the_jobs(cluster, study, training):
    typed, job = training()
    os.kill(controller(typed), signal.SIGINT)
    code, _ = finish(typed)
    assert code != 0
    wait_for(lambda: job not in cluster.jobs("RUNNING", "PENDING", "COMPLETING"))
    assert not (study / WEIGHTS).exists()
