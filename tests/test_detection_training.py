"""Training a detector: resumable to the bit, frozen means frozen, seeds decide, it learns."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import robust_transfer.training.loop as loop
import torch
from detection_subjects import CPU, RECIPE, detector, same, toy_scenes, train
from robust_transfer.detection.average_precision import coco_matches, summary
from robust_transfer.detection.predict import detect
from robust_transfer.detection.training import DetectorRecipe, train_detector
from robust_transfer.errors import ConfigError, DataError, UserError
from robust_transfer.training.divergence import TrainingDivergedError
from robust_transfer.training.processes import Processes
from safetensors.torch import load_file
from workflow import start_python


class StoppedError(Exception):
    """What a kill is, to a test."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return toy_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory):
    built = detector(cache, batch_norm="train", train_sizes=[48, 64])
    return built, train(built, cache, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_run_that_is_killed_ends_with_the_same_weights(
    cache, tmp_path, undisturbed, monkeypatch, stop
):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", -1.0)

    def kill(step):
        if step == stop:
            raise StoppedError

    make = dict(batch_norm="train", train_sizes=[48, 64])
    with pytest.raises(StoppedError):
        train(detector(cache, **make), cache, tmp_path, after_step=kill)
    steps = []
    resumed = detector(cache, **make)
    history = train(resumed, cache, tmp_path, after_step=steps.append)
    assert steps == list(range(stop + 1, RECIPE["steps"] + 1))
    expected, rows = undisturbed
    assert same(resumed, expected)
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in rows]


@pytest.mark.parametrize(
    "changes", [{"seed": 4}, {"learning_rate": 0.01}, {"positions": np.arange(6)}]
)
def test_a_state_of_another_question_is_not_gone_on_from(cache, tmp_path, changes):
    train(detector(cache), cache, tmp_path, steps=2)
    steps = []
    train(detector(cache), cache, tmp_path, steps=2, after_step=steps.append)
    assert steps == []
    train(detector(cache), cache, tmp_path, steps=2, after_step=steps.append, **changes)
    assert steps == [1, 2]
    train(detector(cache, seed=1), cache, tmp_path, steps=2, after_step=steps.append)
    assert steps == [1, 2, 1, 2], "another head is another question"


def test_the_seed_decides_what_is_found(cache, tmp_path):
    found = []
    for name, head, run in (("a", 0, 3), ("b", 0, 3), ("c", 0, 4), ("d", 1, 3)):
        (tmp_path / name).mkdir()
        built = detector(cache, seed=head, score_threshold=0.01)
        train(built, cache, tmp_path / name, seed=run)
        found.append(detect(built, cache, cache.split("test")))
    first, same_seed, *others = found
    assert len(first) > 0
    for name in ("images", "boxes", "scores", "classes"):
        assert np.array_equal(getattr(first, name), getattr(same_seed, name))
    for other in others:
        assert not np.array_equal(first.scores, other.scores)


@pytest.mark.parametrize(("stages", "batch_norm"), [(0, "train"), (1, "frozen"), (1, "train")])
def test_frozen_parts_stay_bit_for_bit_through_training(cache, tmp_path, stages, batch_norm):
    built = detector(cache, trainable_stages=stages, batch_norm=batch_norm)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    train(built, cache, tmp_path)
    moved = {name for name, value in built.state_dict().items()
             if not torch.equal(value, before[name])}  # fmt: skip
    body = {name.split("body.")[1] for name in moved if "body." in name}
    assert {name.split(".")[0] for name in body} == ({"stage3"} if stages else set())
    assert any("bn" in name for name in body) == bool(stages and batch_norm == "train")
    assert any("fpn" in name for name in moved)
    assert any("rpn" in name for name in moved)
    assert any("box_predictor" in name for name in moved)


def test_a_detector_learns_four_scenes_by_heart(cache, tmp_path):
    built = detector(cache, "resnet_small", test_size=64)
    four = np.arange(4)
    history = train(built, cache, tmp_path, positions=four, steps=120, flip=False,
                    learning_rate=0.16, warmup_steps=20)  # fmt: skip
    found = summary(coco_matches(cache, detect(built, cache, four)))
    assert found["AP50"] > 0.9
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]


def test_the_history_adds_up(undisturbed):
    built, history = undisturbed
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5]
    for row in history:
        assert row["train_loss"] == pytest.approx(sum(row[name] for name in built.loss_names))
    rates = [row["learning_rate"] for row in history]
    peak = 0.08 * 4 / 16
    assert rates == pytest.approx([peak / 2, peak, peak, peak, peak / 100 * 10])


def test_the_rate_is_that_of_the_1x_schedule():
    """Detectron's: 90,000 steps of 16 images at 0.02, a tenth at 60,000 and again at 80,000."""
    recipe = RECIPE | dict(steps=90_000, learning_rate=0.02, warmup_steps=500)
    plan = DetectorRecipe(**recipe)
    asked = {0: 0.02 / 500, 499: 0.02, 59_999: 0.02, 60_000: 2e-3, 79_999: 2e-3, 80_000: 2e-4}
    assert {step: plan.rate(step, 16) for step in asked} == pytest.approx(asked)
    assert plan.rate(1000, 8) == pytest.approx(0.01)


def test_a_clipped_gradient_moves_the_weights_no_further_than_its_bound(cache, tmp_path):
    changes = dict(steps=1, weight_decay=0.0, warmup_steps=0, decay_at=[])
    lengths = []
    for clip in (0.0, 0.5):
        built = detector(cache)
        before = [each.detach().clone() for each in built.parameters()]
        train(built, cache, tmp_path, gradient_clip=clip, **changes)
        after = list(built.parameters())
        moved = [(a.detach() - b).square().sum() for a, b in zip(after, before, strict=True)]
        lengths.append(float(torch.stack(moved).sum().sqrt()))
    rate = RECIPE["learning_rate"] * 4 / 16
    assert lengths[1] == pytest.approx(0.5 * rate, rel=1e-3)
    assert lengths[0] > 1.5 * lengths[1]


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_last_good_state(
    cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", -1.0)
    built = detector(cache)

    def poison(step):
        if step == 3:
            next(iter(built.network.roi_heads.box_predictor.parameters())).data.fill_(torch.nan)

    with pytest.raises(TrainingDivergedError, match="the loss of step 4 is not"):
        train(built, cache, tmp_path, after_step=poison)
    state = load_file(tmp_path / "state.safetensors")
    assert all(value.isfinite().all() for value in state.values())


def test_what_cannot_be_trained_is_an_error(cache, tmp_path):
    with pytest.raises(DataError, match="no image to train on"):
        train(detector(cache), cache, tmp_path, positions=np.zeros(0, np.int64))
    del (bare := dict(cache.columns))["mask_bytes"]
    object.__setattr__(without := type(cache)(**vars(cache)), "columns", bare)
    with pytest.raises(ConfigError, match="has no masks"):
        train(detector(cache, model="mask_rcnn_small"), without, tmp_path)
    with pytest.raises(UserError, match="3 GPUs for batches of 2"):
        train_detector(detector(cache), cache, np.arange(2), RECIPE, seed=0, device=CPU,
                       state_path=tmp_path / "state", processes=Processes(0, 3))  # fmt: skip


GLOO = """
import sys, torch
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[5])
from detection_subjects import RECIPE, SETTINGS, pretrained
from robust_transfer.detection.models import build_detector
from robust_transfer.detection.training import train_detector
from robust_transfer.scenes.cache import load_scene_cache
from robust_transfer.training.processes import ALONE, join_processes, leave_processes
from safetensors.torch import save_file

folder, count, cache = Path(sys.argv[1]), int(sys.argv[2]), load_scene_cache(sys.argv[3])
torch.set_num_threads(1)
processes = join_processes() if count > 1 else ALONE
built = build_detector(pretrained("resnet_small_w4"), model="retinanet", **(SETTINGS | {
    "classes": len(cache.classes)}))

def check(module, given):
    if len(given[0]) > 1 and sys.argv[4] == "short":
        raise torch.OutOfMemoryError("CUDA out of memory")

built.network.backbone.register_forward_pre_hook(check)
history = train_detector(built, cache, np.arange(6), RECIPE | {"batch_size": 3, "steps": 3}, seed=0,
                         state_path=folder / "state", device=torch.device("cpu"),
                         processes=processes)
out = {name: value.contiguous() for name, value in built.state_dict().items()}
save_file(out | {"loss": torch.tensor([row["train_loss"] for row in history])},
          folder / f"count{count}.rank{processes.rank}")
if count > 1:
    leave_processes()
"""


def train_in(count, cache, folder, memory="enough"):
    """Train in `count` processes; return what each ended with, and what each said."""
    folder.mkdir()
    words = [str(folder), str(count), str(cache.folder), memory, str(Path(__file__).parent)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    running = [
        start_python(folder, GLOO, *words, **shared, RANK=str(rank)) for rank in range(count)
    ]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0] * count, said
    return [load_file(path) for path in sorted(folder.glob("count*"))], said


@pytest.fixture(scope="module")
def alone(cache, tmp_path_factory):
    (weights,), _ = train_in(1, cache, tmp_path_factory.mktemp("alone") / "one")
    return weights


@pytest.mark.parametrize("memory", ["enough", "short"])
def test_two_processes_train_as_one(cache, tmp_path, alone, memory):
    """RetinaNet samples nothing, and its loss is a mean over images: only rounding differs.

    Of three images the first process has two: it alone may have to take them in parts.
    """
    (first, second), said = train_in(2, cache, tmp_path / "two", memory)
    for name, value in first.items():
        assert torch.equal(value, second[name])
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-5)
    assert [each.count("in 2 parts") for each in said] == [int(memory == "short"), 0]


def test_a_history_is_plain_enough_for_a_table(undisturbed):
    assert json.loads(json.dumps(undisturbed[1])) == undisturbed[1]
