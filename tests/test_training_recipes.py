"""Recipes of the config: PGD, TRADES and N-FGSM; a batch in parts; kills change nothing."""

import itertools

import pytest
import torch
from robust_transfer.attacks.apgd import evaluate_ensemble
from robust_transfer.attacks.batches import TooLittleMemoryError
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.attacks.folded import FoldedAttackModel
from robust_transfer.attacks.pgd import pgd
from robust_transfer.attacks.single_step import fgsm_rs, n_fgsm
from robust_transfer.attacks.trades import trades_inner
from robust_transfer.config.check import check_config
from robust_transfer.errors import ConfigError
from robust_transfer.training import compiling, recipes, step
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.compiling import may_pay
from robust_transfer.training.evaluation import logits_of
from robust_transfer.training.loop import fit
from robust_transfer.training.losses import training_loss
from robust_transfer.training.recipes import TrainingAttack, passes, pretraining_recipe
from robust_transfer.training.sgd import Sgd
from robust_transfer.training.step import Recipe, TrainingStep
from test_training_data_path import RECIPE
from torch import nn
from torch.nn import functional as F

EPSILON, STEPS = 0.5, 10
SMALL = {"norm": "l2", "epsilon": EPSILON, "step_size": 0.2, "steps": 2}
METHODS = ("pgd", "trades", "fgsm_rs", "nfgsm")


def batch(n=12):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return images, torch.arange(n) % 3


def network(*, batch_norm=True):
    torch.manual_seed(0)
    middle = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
    return nn.Sequential(nn.Conv2d(3, 4, 3), middle, nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def seeded():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("method", METHODS)
def test_each_method_attacks_the_folded_copy_as_its_function_attacks_the_model(method, norm):
    model, (images, labels) = network().double().train(), batch()
    clean, last = images.double() / 255, STEPS - 1
    attack = TrainingAttack(RECIPE | {"method": method}, norm, EPSILON, STEPS)
    shared = {"norm": norm, "epsilon": EPSILON, "generator": seeded()}
    steps = {"step_size": 2 / 3 * EPSILON, "steps": 2}
    expected = {
        "pgd": lambda: pgd(model, clean, labels, random_start=True, **steps, **shared),
        "trades": lambda: trades_inner(model, clean, labels, **steps, **shared),
        "fgsm_rs": lambda: fgsm_rs(model, clean, labels, **shared),
        "nfgsm": lambda: n_fgsm(model, clean, labels, **shared),
    }[method]()
    found = attack(model, clean, labels, last, seeded())
    assert not torch.equal(found, clean)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_the_attack_follows_the_weights_of_the_model():
    model, (images, labels) = network().eval(), batch()
    attack = TrainingAttack(RECIPE | {"random_start": False}, "l2", EPSILON, STEPS)
    attack(model, images / 255, labels, 9, seeded())
    with torch.no_grad():
        model[0].weight.neg_()
    again = attack(model, images / 255, labels, 9, seeded())
    fresh = TrainingAttack(RECIPE | {"random_start": False}, "l2", EPSILON, STEPS)
    torch.testing.assert_close(again, fresh(model, images / 255, labels, 9, seeded()))


def test_epsilon_rises_during_its_warm_up():
    model, (images, labels) = network().eval(), batch()
    attack = TrainingAttack(RECIPE | {"epsilon_warmup": 0.5}, "l2", EPSILON, STEPS)
    lengths = [
        (attack(model, images / 255, labels, step, seeded()) - images / 255).flatten(1).norm(dim=1)
        for step in (0, 2, 9)
    ]
    for length, share in zip(lengths, (0.2, 0.6, 1.0), strict=True):
        assert length.max() <= share * EPSILON + 1e-5
    assert all(a.max() < b.max() for a, b in itertools.pairwise(lengths))


def test_the_loss_of_trades_is_that_of_its_paper():
    """Equation 5 in plain probabilities, float64."""
    model, (images, labels) = network(batch_norm=False).double(), batch()
    clean = images.double() / 255
    moved = (clean + 0.1).clamp(0, 1)
    p, q = model(clean).softmax(1), model(moved).softmax(1)
    expected = -p[torch.arange(12), labels].log().mean() + 6 * (p * (p / q).log()).sum(1).mean()
    found = training_loss(model, clean, moved, labels, label_smoothing=0, trades_beta=6)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


def test_label_smoothing_is_of_the_loss_and_never_of_the_attack():
    model, (images, labels) = network().eval(), batch()
    clean = images / 255
    plain = training_loss(model, clean, clean, labels, label_smoothing=0, trades_beta=0)
    smooth = training_loss(model, clean, clean, labels, label_smoothing=0.2, trades_beta=0)
    uniform = -F.log_softmax(model(clean), 1).mean()
    torch.testing.assert_close(smooth, 0.8 * plain + 0.2 * uniform)
    attacks = [
        TrainingAttack(RECIPE | {"label_smoothing": each}, "l2", EPSILON, STEPS)
        for each in (0.0, 0.2)
    ]
    one, other = (attack(model, clean, labels, 9, seeded()) for attack in attacks)
    assert torch.equal(one, other)


def test_only_trades_has_its_divergence_and_only_above_epsilon_zero_there_is_an_attack():
    made = {
        (method, epsilon): pretraining_recipe(
            RECIPE | {"method": method}, norm="l2", epsilon=epsilon, steps=STEPS, image_size=8,
            identity="", label="",
        )
        for method in METHODS
        for epsilon in (0, 0.5)
    }  # fmt: skip
    assert {key for key, recipe in made.items() if recipe.attack} == {(m, 0.5) for m in METHODS}
    assert {key[0] for key, recipe in made.items() if recipe.trades_beta} == {"trades"}


@pytest.mark.parametrize("method", METHODS)
def test_forward_passes_of_an_image_are_counted_as_they_happen(method):
    recipe, counted = RECIPE | {"method": method, "random_start": False}, []
    model = network()
    model[0].register_forward_hook(lambda module, given, out: counted.append(len(out)))
    take_one(model, method=method, attack=TrainingAttack(recipe, "l2", EPSILON, STEPS))
    # The attack's copy of the network has a copy of the hook.
    assert sum(counted) == passes(recipe, epsilon=EPSILON) * 12
    assert passes(recipe, epsilon=0) == 1


def take_one(model, *, method="pgd", attack=None, n=12, how=None):
    """Take one step with a learning rate of 0 and return the gradients."""
    images, labels = batch(n)
    recipe = Recipe(
        steps=STEPS,
        batch_size=n,
        learning_rate=lambda step: 0.0,
        momentum=0.9,
        weight_decay=0.0,
        augment=augmentation("none"),
        identity="",
        attack=attack,
        trades_beta=6.0 if method == "trades" else 0.0,
    )
    optimiser = Sgd(model.parameters(), momentum=0.9, weight_decay=0)
    take = TrainingStep(model, recipe, optimiser, seed=0)
    loss = (how or (lambda take: take(images, labels, 0)))(take)
    return loss, [each.grad.clone() for each in model.parameters()], take


class SmallMemory:
    """Lets a network see at most so many images with a graph, then raises what CUDA raises."""

    def __init__(self, model, most):
        self.most = most
        model[0].register_forward_pre_hook(self.check)

    def check(self, module, given):
        if len(given[0]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("method", ["pgd", "trades"])
@pytest.mark.parametrize(("most", "parts"), [(6, 2), (5, 4), (2, 8), (1, 12)])
def test_a_batch_in_parts_has_the_gradient_of_the_whole_and_says_so(method, most, parts, capsys):
    """Without BatchNorm, whose statistics are those of a part."""
    recipe = RECIPE | {"method": method, "random_start": False}
    attack = TrainingAttack(recipe | {"method": "pgd"}, "l2", EPSILON, STEPS)
    whole_loss, whole, _ = take_one(network(batch_norm=False), method=method, attack=attack)
    model = network(batch_norm=False)
    SmallMemory(model, most)
    loss, gradients, take = take_one(model, method=method, attack=attack)
    assert take.parts.count == parts
    torch.testing.assert_close(loss, whole_loss)
    for one, other in zip(gradients, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert f"in {parts} parts" in capsys.readouterr().err


def test_parts_stay_as_small_as_they_had_to_become_and_batchnorm_forgets_what_failed():
    model, other = network(), network()
    SmallMemory(model, 6)

    def with_parts(take):
        take.parts.count = 2
        return take(*batch(), 0)

    _, _, take = take_one(model)
    assert take.parts.count == 2
    _, expected, _ = take_one(other, how=with_parts)
    for one, same in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, same)
    take(*batch(), 1)
    assert take.parts.count == 2
    assert all(torch.isfinite(each).all() for each in expected)


def test_too_little_memory_for_one_image_is_an_error():
    model = network()
    SmallMemory(model, 0)
    with pytest.raises(TooLittleMemoryError, match="one image"):
        take_one(model)


class StoppedError(Exception):
    """What a kill is, to a test."""


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_of_any_method_ends_with_the_same_weights(method, tmp_path, monkeypatch):
    monkeypatch.setattr("robust_transfer.training.loop.SECONDS_BETWEEN_STATES", -1.0)

    def train(name, stop=None):
        def after_step(step):
            if step == stop:
                raise StoppedError

        model, (images, labels) = network(), batch(24)
        recipe = pretraining_recipe(
            RECIPE | {"method": method, "batch_size": 8}, norm="linf", epsilon=0.1, steps=STEPS,
            image_size=8, identity="test", label="test",
        )  # fmt: skip
        fit(model, images, labels, recipe, seed=1, evaluate_every=3, after_step=after_step,
            evaluate=lambda model: {"validation_robust_accuracy": 0.5},
            state_path=tmp_path / f"{name}.safetensors")  # fmt: skip
        return model.state_dict()

    undisturbed = train("a")
    for stop in (2, 7):
        with pytest.raises(StoppedError):
            train("b", stop)
    for name, value in train("b").items():
        assert torch.equal(value, undisturbed[name]), name


def test_an_unknown_method_is_refused_before_any_job(a_config):
    a_config["pretrain"]["recipe"]["method"] = "trade"
    with pytest.raises(ConfigError, match="Did you mean 'trades'"):
        check_config(a_config)


@pytest.fixture
def a_config():
    from pathlib import Path

    import yaml

    return yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())


def test_compiling_is_tried_on_gpus_in_long_runs_alone():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert may_pay("auto", gpu, 100_000)
    assert not any([may_pay("off", gpu, 100_000), may_pay("auto", gpu, 100),
                    may_pay("auto", cpu, 100_000)])  # fmt: skip


def clock(times):
    """Stand in for the clock of a trial: calls once, and says what the test wants."""

    def seconds(call, device):
        call()
        return next(times)

    return seconds


def test_the_compiled_attack_equals_the_eager_one_and_follows_the_weights(monkeypatch, capsys):
    """Traced and differentiated ahead of time, as on a GPU; without the code generator."""
    monkeypatch.setattr(compiling, "_seconds", clock(iter([2.0, 1.0])))
    model, (images, labels) = network().eval(), batch()
    fast, clean = FoldedAttackModel(model), images / 255
    fast.call = recipes.compiled_where_quicker(fast, clean, backend="aot_eager")
    assert "2.00 times as fast; compiled" in capsys.readouterr().err
    shared = {"norm": "l2", "epsilon": EPSILON, "step_size": 0.2, "steps": 2}
    for _ in range(2):
        found, expected = (pgd(each, clean, labels, **shared) for each in (fast, model))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        with torch.no_grad():
            model[0].weight.neg_()
        fast.refresh()


def test_the_compiled_training_pass_has_the_gradients_of_the_eager_one(monkeypatch):
    monkeypatch.setattr(compiling, "_seconds", clock(iter([2.0, 1.0])))
    model, other = network().train(), network().train()
    before = [each.clone() for each in model.buffers()]
    clean = batch()[0] / 255
    forward = step.compiled_where_quicker(model, clean, what="x", backend="aot_eager")
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), before, strict=True))
    for call in (forward, other):
        call(clean).square().sum().backward()
    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, same.grad)
    for one, same in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, same)


def test_what_compiles_to_something_slower_or_not_at_all_stays_eager(monkeypatch, capsys):
    monkeypatch.setattr(compiling, "_seconds", clock(iter([1.0, 2.0, 1.0])))
    arguments = {"device": torch.device("cpu"), "what": "attack"}

    def eager(x):
        return x + 1

    def trial(call):
        call(torch.ones(2))

    assert compiling.quicker(eager, trial, backend="eager", **arguments) is eager

    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    assert compiling.quicker(eager, trial, backend=broken, **arguments) is eager
    slower, failed = capsys.readouterr().err.splitlines()
    assert "0.50 times as fast; eager" in slower
    assert "not compiled" in failed


@pytest.mark.parametrize("most", [5, 1])
def test_evaluation_goes_on_in_smaller_batches_where_memory_is_short(most, capsys):
    (images, labels), model = batch(), network().eval()
    logits, stands = logits_of(model, images), accuracy_under_attack(model, images, labels, **SMALL)
    robust = evaluate_ensemble(model, images, labels, norm="l2", epsilon=EPSILON, steps=2).robust
    SmallMemory(model, most)
    torch.testing.assert_close(logits_of(model, images), logits)
    assert torch.equal(accuracy_under_attack(model, images, labels, **SMALL), stands)
    again = evaluate_ensemble(model, images, labels, norm="l2", epsilon=EPSILON, steps=2).robust
    assert torch.equal(again, robust)
    assert f"too little GPU memory: {3 if most == 5 else 1} images" in capsys.readouterr().err


def test_evaluation_of_one_image_that_does_not_fit_is_an_error():
    model = network()
    SmallMemory(model, 0)
    with pytest.raises(TooLittleMemoryError, match="one image in this network"):
        logits_of(model, batch()[0])


def test_a_batch_is_augmented_in_parts_where_memory_is_short_by_the_same_numbers():
    """A third of a batch that three processes share, in parts of at most three images."""
    whole = augmentation("imagenet")

    class Short:
        def share(self, images, generator, *, n, rows):
            if len(images) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return whole.share(images, generator, n=n, rows=rows)

    images, _ = batch(8)
    for rows, n in ((slice(None), 8), (slice(1, None, 3), 24)):
        found = []
        for augment in (whole, Short()):
            recipe = Recipe(steps=1, batch_size=8, learning_rate=lambda step: 0.1, momentum=0.9,
                            weight_decay=0.0, augment=augment, identity="test")  # fmt: skip
            model = network()
            step = TrainingStep(model, recipe, Sgd(model.parameters(), momentum=0.9,
                                                   weight_decay=0.0), seed=3)  # fmt: skip
            found.append(step._augmented(images, 0, n, rows))
        torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("label", [3, -1])
def test_labels_that_the_model_has_no_output_for_are_refused_in_evaluation(label):
    images, labels = batch()
    labels[4] = label
    with pytest.raises(ValueError, match=r"labels span .* 3 outputs: expected 0 to 2"):
        accuracy_under_attack(network().eval(), images, labels, **SMALL)
