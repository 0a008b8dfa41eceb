"""Auto-PGD and its ensemble: as strong as PGD at least, and right with few classes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.attacks import (
    FoldedAttackModel,
    accuracy_under_attack,
    apgd,
    evaluate_ensemble,
    pgd,
)
from robust_transfer.attacks.climb import checkpoints
from robust_transfer.attacks.margins import likeliest_wrong, targeted_dlr
from torch import Tensor, nn
from torch.nn import functional as F

both_norms = pytest.mark.parametrize("norm", ["l2", "linf"])
EPSILON = {"l2": 0.6, "linf": 0.06}
CLASSES = 6


def prototypes(classes: int = CLASSES) -> Tensor:
    return torch.rand(classes, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def some_data(count: int, classes: int = CLASSES, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Noisy copies of a random prototype image a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    noise = torch.randn((count, 1, 8, 8), generator=generator)
    return (0.6 * prototypes(classes)[labels] + 0.2 + 0.25 * noise).clamp(0, 1), labels


def small_net(classes: int = CLASSES) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, classes),
    )  # fmt: skip


@pytest.fixture(scope="module", params=["l2", "linf"])
def robust(request) -> tuple[str, nn.Module, Tensor, Tensor]:
    """A net trained on PGD images for about a second."""
    norm, model = request.param, small_net()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(150):
        images, labels = some_data(128, seed=100 + step)
        size = EPSILON[norm] * min(1, step / 50)
        attacked = pgd(
            model, images, labels, norm=norm, epsilon=size, step_size=0.5 * size, steps=3
        )
        optimiser.zero_grad()
        F.cross_entropy(model(attacked), labels).backward()
        optimiser.step()
    return norm, model.eval(), *some_data(300, seed=7)


def losses(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return F.cross_entropy(model(images), labels, reduction="none")


def test_apgd_is_at_least_as_strong_as_pgd_of_50_steps_with_5_restarts(robust):
    norm, model, images, labels = robust
    epsilon = EPSILON[norm]
    clean = (model(images).argmax(1) == labels).float().mean()
    under_pgd = accuracy_under_attack(
        model, images, labels, norm=norm, epsilon=epsilon, step_size=epsilon / 8, steps=50,
        random_start=True, restarts=5, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    result = evaluate_ensemble(model, images, labels, norm=norm, epsilon=epsilon, steps=50)
    assert clean > 0.8
    assert 0.2 < under_pgd.float().mean() < clean - 0.05, "the comparison must mean something"
    assert result.robust.sum() <= under_pgd.sum()
    assert (~under_pgd & result.robust).float().mean() <= 0.01


def test_apgd_reaches_the_loss_of_pgd_without_a_step_size_to_tune(robust):
    norm, model, images, labels = robust
    epsilon = EPSILON[norm]
    ours = apgd(model, images, labels, norm=norm, epsilon=epsilon, steps=50,
                generator=torch.Generator().manual_seed(0))  # fmt: skip
    theirs = pgd(model, images, labels, norm=norm, epsilon=epsilon, step_size=epsilon / 8, steps=50)
    standing = (model(ours).argmax(1) == labels) & (model(theirs).argmax(1) == labels)
    gained = losses(model, ours, labels) - losses(model, theirs, labels)
    assert gained[standing].mean() > -1e-3
    assert gained[standing].min() > -0.05


def test_the_images_of_an_ensemble_show_what_it_says(robust):
    norm, model, images, labels = robust
    result = evaluate_ensemble(
        model, images, labels, norm=norm, epsilon=EPSILON[norm], steps=10, batch_size=77
    )
    assert torch.equal(model(result.images).argmax(1) == labels, result.robust)
    perturbation = (result.images - images).flatten(1).double()
    sizes = perturbation.norm(dim=1) if norm == "l2" else perturbation.abs().amax(1)
    assert sizes.max() <= EPSILON[norm] + 1e-6
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    wrong = model(images).argmax(1) != labels
    assert torch.equal(result.images[wrong], images[wrong])


def test_an_ensemble_does_not_depend_on_the_batch_size():
    model, (images, labels) = small_net().double(), some_data(20)
    given_ = {"norm": "l2", "epsilon": 0.05, "steps": 10, "restarts": 2}
    whole = evaluate_ensemble(model, images.double(), labels, **given_)
    parts = evaluate_ensemble(model, images.double(), labels, batch_size=3, **given_)
    assert torch.equal(whole.robust, parts.robust)
    torch.testing.assert_close(whole.images, parts.images, rtol=0, atol=1e-9)


@both_norms
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("loss", ["ce", "dlr-targeted"])
def test_few_classes_can_be_attacked(classes, norm, loss):
    model, (images, labels) = small_net(classes), some_data(24, classes)
    labels = model(images).argmax(1)  # all right before the attack
    attacked = apgd(model, images, labels, norm=norm, epsilon=4.0, steps=10, loss=loss)
    assert (model(attacked).argmax(1) != labels).float().mean() > 0.9
    result = evaluate_ensemble(model, images, labels, norm=norm, epsilon=4.0, steps=10)
    assert result.robust.float().mean() < 0.1


@both_norms
def test_on_a_linear_model_an_image_is_robust_exactly_within_its_margin(norm):
    """The distance to a border is (z_label - z_other) / |w_label - w_other|, in the dual norm."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    images = 0.4 + 0.2 * torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = images.double()
    logits = model(images).detach()
    labels = logits.argmax(1)
    weight = model[1].weight.detach()
    away = weight[labels][:, None] - weight[None]
    dual = away.norm(dim=2) if norm == "l2" else away.abs().sum(2)
    distance = (logits.gather(1, labels[:, None]) - logits) / dual
    distance = distance.scatter(1, labels[:, None], torch.inf).amin(1)
    epsilon = float(distance.median())
    clear = (distance - epsilon).abs() > 1e-3 * epsilon
    result = evaluate_ensemble(model, images, labels, norm=norm, epsilon=epsilon, steps=50)
    assert torch.equal(result.robust[clear], (distance > epsilon)[clear])


def test_dlr_changes_neither_with_the_scale_nor_the_shift_of_the_logits():
    logits = torch.randn(9, 5, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(9) % 5
    targets = (labels + 1) % 5
    ratio = targeted_dlr(logits, labels, targets)
    torch.testing.assert_close(targeted_dlr(100 * logits - 3, labels, targets), ratio)
    ordered = logits.sort(dim=1).values
    expected = -(logits[range(9), labels] - logits[range(9), targets]) / (
        ordered[:, -1] - 0.5 * (ordered[:, -3] + ordered[:, -4])
    )  # as in the authors' code
    torch.testing.assert_close(ratio, expected)


def test_targets_are_the_likeliest_wrong_classes_and_never_more_than_there_are():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    assert likeliest_wrong(logits, torch.tensor([0, 0]), 9).tolist() == [[2, 1], [1, 2]]


def test_checkpoints_are_those_of_the_paper():
    """Section 3 of arXiv:2003.01690 with 100 steps: gaps of 22, 19, 16, ... and then of 6."""
    expected = [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(100) == expected


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(0, 500))
def test_checkpoints_ascend_within_the_run(steps):
    found = checkpoints(steps)
    assert found == sorted(set(found))
    assert all(1 <= w <= steps for w in found)


def test_evaluation_takes_grey_levels_and_floats_alike():
    model, (images, labels) = small_net(), some_data(20)
    levels = (images * 255).round().byte()
    given_ = {"norm": "l2", "epsilon": 0.05, "step_size": 0.02, "steps": 3}
    from_levels = accuracy_under_attack(model, levels, labels, batch_size=7, **given_)
    from_floats = accuracy_under_attack(model, levels.float() / 255, labels, **given_)
    assert torch.equal(from_levels, from_floats)


def test_accuracy_under_an_attack_of_epsilon_0_is_clean_accuracy():
    model, (images, labels) = small_net(), some_data(20)
    given_ = {"norm": "linf", "epsilon": 0.0, "step_size": 0.0, "steps": 2}
    under_attack = accuracy_under_attack(model, images, labels, **given_)
    assert torch.equal(under_attack, model(images).argmax(1) == labels)


def test_a_stand_in_is_attacked_and_the_model_itself_is_asked():
    model, (images, labels) = small_net(), some_data(20)
    given_ = {"norm": "l2", "epsilon": 0.6, "step_size": 0.2, "steps": 5}
    folded, blind = FoldedAttackModel(model), nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES))
    blind(images)
    nn.init.zeros_(blind[1].weight)
    alone = accuracy_under_attack(model, images, labels, **given_)
    clean = model.eval()(images).argmax(1) == labels
    assert torch.equal(
        accuracy_under_attack(model, images, labels, stand_in=folded, **given_), alone
    )
    assert torch.equal(
        accuracy_under_attack(model, images, labels, stand_in=blind, **given_), clean
    )
    assert alone.sum() < clean.sum()


def test_no_images_give_no_verdicts():
    nothing, none = torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)
    assert evaluate_ensemble(small_net(), nothing, none, norm="l2", epsilon=1.0).robust.shape == (
        0,
    )
    assert accuracy_under_attack(small_net(), nothing, none).shape == (0,)


def test_a_model_is_left_as_it_was_by_an_evaluation():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate_ensemble(model.train(), *some_data(5, 5), norm="l2", epsilon=0.1, steps=3)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "inf"}, "Did you mean 'linf'"),
        ({"loss": "dlr_targeted"}, "Did you mean 'dlr-targeted'"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"restarts": -1}, "restarts is -1"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(changes, message):
    images, labels = some_data(4)
    with pytest.raises(ValueError, match=message):
        apgd(small_net(), images, labels, **({"norm": "l2", "epsilon": 0.1} | changes))


def test_a_label_beyond_the_outputs_is_refused():
    images, labels = some_data(4)
    with pytest.raises(ValueError, match="6 outputs"):
        evaluate_ensemble(small_net(), images, labels + 6, norm="l2", epsilon=0.1)
