"""The training loop: schedules, augmentation, resumable to the bit, diverging loudly."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from robust_transfer.attacks.pgd import pgd
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.divergence import TrainingDivergedError
from robust_transfer.training.loop import Recipe, fit
from robust_transfer.training.randomness import derived_seed, seed_modules
from robust_transfer.training.schedules import epsilon_at, learning_rate
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.state import load_state
from torch import nn

STEPS = 12


class StoppedError(Exception):
    """What a kill is, to a test."""


def images_and_labels(n=40):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(0, 100, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    images[torch.arange(n), labels] += 100
    return images, labels


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    )


def attack(model, images, labels, step, generator):
    return pgd(
        model,
        images,
        labels,
        norm="l2",
        epsilon=0.5,
        step_size=0.3,
        steps=2,
        random_start=True,
        generator=generator,
    )


def recipe(**changes):
    defaults = dict(
        steps=STEPS,
        batch_size=16,
        learning_rate=lambda step: 0.05,
        momentum=0.9,
        weight_decay=1e-3,
        augment=augmentation("shift_flip"),
        identity="test",
        attack=attack,
        weight_average=0.5,
    )
    return Recipe(**(defaults | changes))


def train(path, chosen=None, after_step=None, seed=3):
    images, labels = images_and_labels()
    model = network()

    def evaluate(model):
        with torch.no_grad():
            right = model(images.float() / 255).argmax(1) == labels
        return {"validation_accuracy": float(right.float().mean())}

    run = fit(
        model,
        images,
        labels,
        chosen or recipe(),
        seed=seed,
        evaluate=evaluate,
        evaluate_every=5,
        state_path=path,
        after_step=after_step,
    )
    return model, run


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("killed_at", [1, 4, 5, 6, 11])
def test_a_run_killed_at_any_step_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path, killed_at, monkeypatch
):
    monkeypatch.setattr("robust_transfer.training.loop.SECONDS_BETWEEN_STATES", -1.0)
    undisturbed, run = train(tmp_path / "a.safetensors")

    def stop(step):
        if step == killed_at:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(tmp_path / "b.safetensors", after_step=stop)
    steps_taken = []
    resumed, rerun = train(tmp_path / "b.safetensors", after_step=steps_taken.append)
    assert steps_taken[0] == killed_at + 1
    assert_same_weights(undisturbed.state_dict(), resumed.state_dict())
    assert_same_weights(run.best, rerun.best)
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in run.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in rerun.history
    ]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    one, _ = train(tmp_path / "a.safetensors")
    same, _ = train(tmp_path / "b.safetensors")
    other, _ = train(tmp_path / "c.safetensors", seed=4)
    assert_same_weights(one.state_dict(), same.state_dict())
    assert not torch.equal(one.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_a_state_of_another_recipe_is_not_gone_on_from(tmp_path):
    path = tmp_path / "a.safetensors"
    train(path)
    assert load_state(path, "test") is not None
    assert load_state(path, "another question") is None


def test_a_damaged_state_counts_as_none(tmp_path):
    path = tmp_path / "a.safetensors"
    train(path)
    path.write_bytes(path.read_bytes()[:100])
    assert load_state(path, "test") is None


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_last_good_state(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.safetensors"
    broken = recipe(learning_rate=lambda step: 0.05 if step < 6 else 1e30, attack=None)
    monkeypatch.setattr("robust_transfer.training.loop.SECONDS_BETWEEN_STATES", -1.0)
    with pytest.raises(TrainingDivergedError, match=r"the loss of step 8 is not .* step 7 is kept"):
        train(path, broken)
    assert load_state(path, "test").record["step"] == 7


def test_a_run_that_diverges_before_it_kept_a_state_says_so(tmp_path):
    path = tmp_path / "a.safetensors"
    broken = recipe(learning_rate=lambda step: 1e30, attack=None)
    with pytest.raises(TrainingDivergedError, match="No state is kept yet"):
        train(path, broken)
    assert not path.exists()


@pytest.mark.parametrize(("step", "kept"), [(7, 6), (STEPS, STEPS - 1)], ids=["within", "last"])
def test_an_update_that_spoils_the_weights_reaches_no_state_and_no_result(
    tmp_path, monkeypatch, step, kept
):
    """The loss of that step is a number still; in the last step no other would follow."""
    monkeypatch.setattr("robust_transfer.training.loop.SECONDS_BETWEEN_STATES", -1.0)
    path = tmp_path / "a.safetensors"
    real = Sgd.step
    taken = []

    def spoil(self, learning_rate):
        real(self, learning_rate)
        taken.append(learning_rate)
        if len(taken) == step:
            self.parameters[0].data.view(-1)[0] = torch.nan

    monkeypatch.setattr(Sgd, "step", spoil)
    with pytest.raises(TrainingDivergedError, match=f"after step {step} the weights are not"):
        train(path, recipe(attack=None))
    state = load_state(path, "test")
    assert state.record["step"] == kept
    assert all(torch.isfinite(value).all() for value in state.tensors.values())


def test_the_best_weights_are_those_of_the_best_evaluation(tmp_path):
    _, run = train(tmp_path / "a.safetensors")
    assert run.best_value == max(row["validation_accuracy"] for row in run.history)
    assert [row["step"] for row in run.history] == [5, 10, 12]


def test_a_set_smaller_than_a_batch_is_one_batch(tmp_path):
    _, run = train(tmp_path / "a.safetensors", recipe(batch_size=1000))
    assert run.step == STEPS


def test_cosine_learning_rate_rises_to_its_peak_and_falls_to_zero():
    rates = [
        learning_rate(step, 100, peak=0.4, schedule="cosine", warmup=0.2) for step in range(100)
    ]
    assert max(rates) == rates[19] == pytest.approx(0.4)
    assert all(a < b for a, b in itertools.pairwise(rates[:20]))
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    assert 0 < rates[-1] < 0.001


def test_step_learning_rate_rises_first_where_a_warm_up_is_asked_for():
    rates = [learning_rate(step, 90, peak=0.1, schedule="step", warmup=0.1) for step in range(90)]
    assert rates[:9] == pytest.approx([0.1 * (step + 1) / 9 for step in range(9)])
    assert rates[9] == rates[29] == 0.1
    assert rates[30] == pytest.approx(0.01)


def test_step_learning_rate_falls_tenfold_after_each_third_as_the_paper():
    rates = [learning_rate(step, 90, peak=0.1, schedule="step", warmup=0) for step in range(90)]
    assert rates[0] == rates[29] == 0.1
    assert rates[30] == rates[59] == pytest.approx(0.01)
    assert rates[60] == rates[89] == pytest.approx(0.001)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="cosine, step"):
        learning_rate(1, 2, peak=1, schedule="linear", warmup=0)


@given(st.integers(1, 500), st.floats(0, 0.99), st.floats(0, 10))
def test_epsilon_never_falls_and_ends_at_its_full_size(total, warmup, epsilon):
    sizes = [
        epsilon_at(step, total, epsilon=epsilon, warmup=warmup)
        for step in sorted({0, total // 2, total - 1})
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(epsilon)


def test_derived_seeds_differ_by_purpose_seed_and_step():
    seeds = {
        derived_seed(seed, purpose, step)
        for seed in range(5)
        for purpose in ("order", "attack")
        for step in range(5)
    }
    assert len(seeds) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_shift_moves_each_image_whole_and_by_at_most_an_eighth():
    images = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    images[:, :, 8, 8] = 255
    moved = augmentation("shift")(images, torch.Generator().manual_seed(0))
    places = {tuple(image[0].nonzero()[0].tolist()) for image in moved}
    assert moved.shape == images.shape
    assert all(6 <= row <= 10 and 6 <= column <= 10 for row, column in places)
    assert len(places) > 15
    assert torch.equal(moved[:, 0], moved[:, 2])


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest():
    images, _ = images_and_labels(400)
    plain = augmentation("shift")(images, torch.Generator().manual_seed(0))
    flipped = augmentation("shift_flip")(images, torch.Generator().manual_seed(0))
    same = (plain == flipped).flatten(1).all(1)
    mirrored = (plain.flip(3) == flipped).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 140 < int(mirrored.sum()) < 260


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match="shift_flip"):
        augmentation("mixup")


def test_a_step_seeds_dropout_and_queues_no_call_for_devices_that_are_not_there() -> None:
    queued = len(torch.cuda._queued_calls)
    seed_modules(3, torch.device("cpu"))
    drawn = torch.nn.functional.dropout(torch.ones(64))
    assert len(torch.cuda._queued_calls) == queued
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.nn.functional.dropout(torch.ones(64)))
