"""What a training keeps: which metric chooses, what an average is for, and the last weights."""

import pytest
import torch
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.backbones.weights import load_backbone
from robust_transfer.images.build import build_cache
from robust_transfer.training import pretrain as pretraining
from robust_transfer.training.loop import fit
from robust_transfer.training.pretrain import pretrain
from test_training import STEPS, images_and_labels, network, recipe
from test_training_data_path import RECIPE

LETTERS = {"name": "letters", "kind": "toy", "alphabet": "letters", "size": 16, "n_train": 96,
           "n_test": 24, "seed": 0, "grating": 0.0}  # fmt: skip
BACKBONE = {"name": "x", "architecture": "resnet_small_w4", "source": "letters", "norm": "l2",
            "epsilon": 0.4, "seed": 0}  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    build_cache(LETTERS, "native", folder, data_root=folder, on_bad_image="stop")
    return folder


def trained(cache, folder, **changes):
    """Pretrain; return best and last weights and the rows of the history."""
    outputs = {name: str(folder / name) for name in ("weights", "last", "history", "cost")}
    settings = RECIPE | {"epochs": 4, "augmentation": "none", "weight_average": 0.0} | changes
    pretrain(cache, BACKBONE, image_size=16, recipe=settings, outputs=outputs, code="test",
             on_device_mb=100)  # fmt: skip
    best, header = load_backbone(outputs["weights"])
    last, other = load_backbone(outputs["last"])
    assert (header["kept"], other["kept"]) == ("best on validation", "last")
    return best.state_dict(), last.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def ordered(monkeypatch, values):
    """Let evaluations find these robust accuracies, and clean ones the other way round."""
    found = iter(values)

    def held_out(*given):
        def evaluate(model):
            value = next(found)
            return {"validation_accuracy": 1 - value, "validation_robust_accuracy": value}

        return evaluate

    monkeypatch.setattr(pretraining, "_held_out", held_out)


def test_best_by_robust_accuracy_and_last_are_both_kept(cache, tmp_path, monkeypatch):
    """An epoch before the last has the best robust accuracy: those weights are the best ones."""
    ordered(monkeypatch, [0.1, 0.8, 0.3, 0.2])
    best, last = trained(cache, tmp_path / "four")
    assert not same(best, last)
    ordered(monkeypatch, [0.1, 0.2, 0.3, 0.8])
    best_at_the_end, last_again = trained(cache, tmp_path / "end")
    assert same(best_at_the_end, last_again)
    assert same(last_again, last)


def test_validation_under_attack_is_what_chooses(cache, tmp_path):
    """History has the accuracy of held-out images under PGD, which is below the clean one."""
    opened = pretraining.load_source(cache, image_size=16, validation_fraction=0.25, seed=0,
                                     device=torch.device("cpu"), on_device_mb=100)  # fmt: skip
    evaluate = pretraining._held_out(opened, BACKBONE, RECIPE, pretraining.ALONE)
    trained(cache, tmp_path, learning_rate=0.2, epochs=12)
    backbone, _ = load_backbone(tmp_path / "weights")
    found = evaluate(backbone)
    held_out = opened.pool("validation")
    images, labels = next(held_out.batches([torch.arange(len(held_out))]))
    expected = accuracy_under_attack(
        backbone, images, labels, norm="l2", epsilon=0.4, step_size=2 / 3 * 0.4, steps=2
    )
    assert found["validation_robust_accuracy"] == pytest.approx(float(expected.double().mean()))
    assert found["validation_robust_accuracy"] < found["validation_accuracy"]


def test_the_moving_average_is_what_is_evaluated_and_kept_as_the_best(tmp_path):
    """The same steps with and without an average; the average by its definition."""
    seen, path = [], []
    decay = 0.8

    def evaluate(model):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"validation_accuracy": len(seen) / 100}

    images, labels = images_and_labels()
    plain = network()
    average = {name: value.clone() for name, value in plain.state_dict().items()}

    def follow(step):
        path.append(step)
        for name, value in plain.state_dict().items():
            if value.is_floating_point():
                average[name].mul_(decay).add_(value, alpha=1 - decay)

    common = {"seed": 1, "evaluate_every": STEPS}
    without = recipe(weight_average=0.0)
    fit(plain, images, labels, without, evaluate=lambda model: {"validation_accuracy": 0.5},
        state_path=tmp_path / "a", after_step=follow, **common)  # fmt: skip
    averaged = network()
    run = fit(averaged, images, labels, recipe(weight_average=decay), evaluate=evaluate,
              state_path=tmp_path / "b", **common)  # fmt: skip
    assert same(averaged.state_dict(), plain.state_dict())
    for name, value in average.items():
        if value.is_floating_point():
            torch.testing.assert_close(seen[0][name], value, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(run.best[name], value, rtol=1e-4, atol=1e-6)
