"""Several processes train as one: the same batches and gradients, one writer, one schedule."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from robust_transfer.images.build import build_cache
from robust_transfer.training import launch
from robust_transfer.training.launch import pretrain_on
from robust_transfer.training.processes import Processes
from robust_transfer.training.torchrun import ProcessFailedError
from safetensors.torch import load_file
from test_training_data_path import LETTERS, RECIPE
from workflow import start_python

LIBRARY = Path(launch.__file__).parents[2]
GLOO = """
import sys, torch
from torch import distributed, nn
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.loop import Recipe, fit
from robust_transfer.training.processes import ALONE, join_processes, leave_processes
from robust_transfer.attacks.pgd import pgd
from pathlib import Path
from safetensors.torch import save_file

folder, count, stop, norm = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
processes = join_processes() if count > 1 else ALONE
torch.manual_seed(0)
middle = nn.BatchNorm2d(4) if norm == "batch" else nn.GroupNorm(2, 4)
model = nn.Sequential(nn.Conv2d(3, 4, 3), middle, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
model = model.double() if norm == "group" else model
labels = torch.arange(40) % 3
images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
seen = []

def attack(model, images, labels, step, generator):
    seen.append(len(images))
    kind = next(model.parameters()).dtype
    return pgd(model, images.to(kind), labels, norm="l2", epsilon=0.5, step_size=0.3, steps=2)

def rate(step):
    return 0.05 / (1 + step)

recipe = Recipe(steps=8, batch_size=15, learning_rate=rate, momentum=0.9, weight_decay=1e-3,
                augment=augmentation("shift_flip"), identity="test", attack=attack,
                weight_average=0.5, label_smoothing=0.1)

def after_step(step):
    if step == stop:
        processes.wait()
        sys.exit(0)

import robust_transfer.training.loop as loop
loop.SECONDS_BETWEEN_STATES = -1.0
run = fit(model, images, labels, recipe, seed=3,
          evaluate=lambda model: {"validation_accuracy": 0.5}, evaluate_every=4,
          state_path=folder / "state.safetensors", after_step=after_step,
          processes=processes)
assert set(seen) == {{1: 15, 2: 8 - processes.rank}[count]}, seen
out = {k: v.contiguous() for k, v in model.state_dict().items()}
save_file(out | {"loss": torch.tensor([row["train_loss"] for row in run.history])},
          folder / f"count{count}.rank{processes.rank}.safetensors")
if count > 1:
    leave_processes()
"""


def train(folder, count, *, stop=-1, norm="group"):
    """Train a little in `count` processes; return what each ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    words = [str(folder), str(count), str(stop), norm]
    running = [
        start_python(folder, GLOO, *words, **meeting, RANK=str(rank)) for rank in range(count)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    return [load_file(path) for path in sorted(folder.glob(f"count{count}.*"))]


def assert_close(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], **tolerance)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (weights,) = train(tmp_path_factory.mktemp("alone"), 1)
    return weights


def test_two_processes_end_with_the_weights_of_one(alone, tmp_path):
    """In float64 and without BatchNorm the sums differ by rounding alone; the losses too."""
    first, second = train(tmp_path, 2)
    assert_close(first, second, rtol=0, atol=0)
    assert_close(first, alone, rtol=1e-5, atol=1e-7)


def test_a_run_goes_on_with_another_number_of_processes(alone, tmp_path):
    train(tmp_path, 2, stop=5)
    (resumed,) = train(tmp_path, 1)
    assert_close(resumed, alone, rtol=1e-5, atol=1e-7)


def test_statistics_of_batchnorm_are_those_of_the_first_process_on_all(tmp_path):
    first, second = train(tmp_path, 2, norm="batch")
    assert_close(first, second, rtol=0, atol=0)


def test_shares_of_a_batch_are_disjoint_and_complete():
    batch = torch.arange(11)
    shares = [batch[Processes(rank, 3).rows] for rank in range(3)]
    assert torch.equal(torch.cat(shares).sort().values, batch)
    assert {len(share) for share in shares} == {3, 4}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    build_cache(LETTERS, "native", folder, data_root=folder, on_bad_image="stop")
    return folder


def settings(folder, **changes):
    backbone = {"name": "x", "architecture": "resnet_small_w4", "source": "letters", "norm": "l2",
                "epsilon": 0.1, "seed": 0}  # fmt: skip
    outputs = {name: str(folder / name) for name in ("weights", "last", "history", "cost")}
    recipe = RECIPE | {"epochs": 1, "augmentation": "shift"} | changes
    return {"backbone": backbone, "image_size": 16, "recipe": recipe, "outputs": outputs,
            "code": "0", "on_device_mb": 1}  # fmt: skip


def test_two_gpus_are_two_processes_and_one_of_them_writes(cache, tmp_path, capsys):
    """Without CUDA the processes compute on the CPU, with gloo."""
    pretrain_on(2, cache, **settings(tmp_path))
    assert load_file(str(tmp_path / "weights"))
    assert json.loads((tmp_path / "cost").read_text())["processes"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cost",
        "history",
        "last",
        "weights",
    ]
    assert capsys.readouterr().err.count("pretrain x: ") == 1


def test_a_process_that_fails_says_why_and_fails_the_job(cache, tmp_path, capsys):
    with pytest.raises(ProcessFailedError, match="2 processes"):
        pretrain_on(2, cache, **settings(tmp_path, batch_size=1))
    assert "2 GPUs for batches of 1" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


def test_fewer_gpus_than_asked_for_are_an_error(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ProcessFailedError, match="asks for 2 GPUs, but sees 1"):
        pretrain_on(2, cache, **settings(tmp_path))


def test_processes_end_when_the_job_that_started_them_is_killed():
    job = (
        "import os, signal, subprocess, sys; sys.path.insert(0, sys.argv[1]);"
        "from robust_transfer.training.torchrun import end_with_parent;"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=end_with_parent);"
        "print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", job, str(LIBRARY)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, timeout=100)  # fmt: skip
    state = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(200):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the process lives on")
