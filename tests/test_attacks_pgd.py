"""PGD: closed forms, the peers' results, the laws of the threat model, the random start."""

import warnings
from types import ModuleType

import pytest
import torch
from attack_subjects import NORMS, attack, both_norms, sizes, small_net, some_images, some_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.attacks.pgd import input_gradient
from robust_transfer.attacks.threat import lengths, threat_model
from torch import Tensor, nn

# --- against algebra and the peers ---------------------------------------------------------


def linear_model(weight: Tensor) -> nn.Sequential:
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], 2, bias=False)).double()
    model[1].weight.data.copy_(weight)
    return model


def test_pgd_on_a_linear_model_equals_the_closed_form():
    """With two classes the best perturbation points along w_other - w_label, to the ball's rim."""
    weight = torch.tensor([[1.0, -2.0, 0.5, 0.1], [0.3, 1.0, -0.5, 0.4]]).double()
    images = torch.full((1, 1, 2, 2), 0.5).double()
    away = (weight[1] - weight[0]).view_as(images)
    arguments = {"epsilon": 0.2, "step_size": 0.1, "steps": 5, "labels": torch.tensor([0])}
    expected = {"l2": 0.2 * away / away.norm(), "linf": 0.2 * away.sign()}
    for norm, perturbation in expected.items():
        attacked = attack(linear_model(weight), images, norm, **arguments)
        torch.testing.assert_close(attacked, images + perturbation, rtol=0, atol=1e-14)


def quietly_imported(module: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' dependencies warn on import
        return pytest.importorskip(module)


def foolbox_attack(model: nn.Module, images: Tensor, labels: Tensor, norm: str, **given) -> Tensor:
    foolbox = quietly_imported("foolbox")
    classes = {
        "l2": foolbox.attacks.L2ProjectedGradientDescentAttack,
        "linf": foolbox.attacks.LinfProjectedGradientDescentAttack,
    }
    runner = classes[norm](
        abs_stepsize=given["step_size"], steps=given["steps"], random_start=False
    )
    wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
    criterion = given.get("criterion", foolbox.criteria.Misclassification)(labels)
    return runner.run(wrapped, images, criterion, epsilon=given["epsilon"])


@both_norms
@pytest.mark.parametrize("epsilon", [0.03, 0.5])
def test_pgd_in_float64_equals_that_of_foolbox(norm, epsilon):
    model, images = small_net().double().eval(), some_images(dtype=torch.float64)
    given_ = {"epsilon": epsilon, "step_size": epsilon / 2, "steps": 10}
    ours = attack(model, images, norm, **given_)
    theirs = foolbox_attack(model, images, some_labels(), norm, **given_)
    assert (ours - theirs).abs().max() <= 1e-12


@both_norms
def test_targeted_pgd_in_float64_equals_that_of_foolbox(norm):
    model, images = small_net().double().eval(), some_images(dtype=torch.float64)
    targets = (some_labels() + 1) % 5
    given_ = {"epsilon": 0.3, "step_size": 0.1, "steps": 5}
    ours = attack(model, images, norm, targets=targets, **given_)
    criterion = quietly_imported("foolbox").criteria.TargetedMisclassification
    theirs = foolbox_attack(model, images, targets, norm, **given_, criterion=criterion)
    assert (ours - theirs).abs().max() <= 1e-12


@both_norms
def test_pgd_in_float32_equals_that_of_torchattacks_in_loss(norm):
    torchattacks = quietly_imported("torchattacks")
    model, images, labels = small_net().eval(), some_images(64), some_labels(64)
    classes = {"l2": torchattacks.PGDL2, "linf": torchattacks.PGD}
    theirs = classes[norm](model, eps=0.3, alpha=0.1, steps=4, random_start=False)(images, labels)
    ours = attack(model, images, norm)
    losses = [nn.functional.cross_entropy(model(x), labels) for x in (ours, theirs)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=0)


# --- laws of the threat model --------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    norm=st.sampled_from(NORMS),
    epsilon=st.floats(0, 3),
    step=st.floats(0, 5),
    steps=st.integers(0, 4),
    start=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_perturbed_image_lies_in_the_ball_and_in_the_box(
    norm, epsilon, step, steps, start, seed
):
    images = some_images(seed=seed)
    attacked = attack(
        small_net(),
        images,
        norm,
        epsilon=epsilon,
        step_size=step,
        steps=steps,
        random_start=start,
        generator=torch.Generator().manual_seed(seed),
    )
    assert sizes(attacked - images, norm).max() <= epsilon + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1


@settings(max_examples=25, deadline=None)
@given(norm=st.sampled_from(NORMS), epsilon=st.floats(0.01, 3), seed=st.integers(0, 1000))
def test_projection_moves_nothing_inside_the_ball_and_is_idempotent(norm, epsilon, seed):
    perturbation = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)).double()
    project = threat_model(norm).project
    once = project(perturbation, epsilon)
    torch.testing.assert_close(project(once, epsilon), once, rtol=1e-12, atol=1e-14)
    inside = 0.99 * once
    torch.testing.assert_close(project(inside, epsilon), inside, rtol=1e-12, atol=1e-14)


@both_norms
def test_pgd_of_zero_epsilon_returns_the_images(norm):
    images = some_images()
    attacked = attack(small_net(), images, norm, epsilon=0.0, random_start=True)
    assert torch.equal(attacked, images)


@both_norms
def test_pgd_of_zero_steps_returns_a_copy_of_the_images(norm):
    images = some_images()
    attacked = attack(small_net(), images, norm, steps=0)
    assert torch.equal(attacked, images)
    assert attacked.data_ptr() != images.data_ptr()


@both_norms
def test_pgd_raises_the_loss_of_every_image(norm):
    model, images = small_net().eval(), some_images(32)
    attacked = attack(model, images, norm)
    before, after = (
        nn.functional.cross_entropy(model(x), some_labels(32), reduction="none")
        for x in (images, attacked)
    )
    assert (after > before).all()


@both_norms
def test_targeted_pgd_lowers_the_loss_of_the_target(norm):
    model, images = small_net().eval(), some_images(32)
    targets = (some_labels(32) + 2) % 5
    attacked = attack(model, images, norm, targets=targets)
    before, after = (
        nn.functional.cross_entropy(model(x), targets, reduction="none") for x in (images, attacked)
    )
    assert (after < before).all()


@both_norms
def test_a_saturated_pixel_has_a_gradient_and_can_move_inward(norm):
    model = small_net().eval()
    images = torch.cat([torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)])
    labels = some_labels(4)
    gradient = input_gradient(
        model, images, lambda z: nn.functional.cross_entropy(z, labels, reduction="none")
    )[0]
    assert (gradient != 0).float().mean() > 0.9
    attacked = attack(model, images, norm, labels=labels)
    assert (attacked[:2] > 0).float().mean() > 0.3
    assert (attacked[2:] < 1).float().mean() > 0.3


@both_norms
def test_an_image_is_attacked_alone_as_in_a_batch(norm):
    model, images = small_net().double(), some_images(dtype=torch.float64)
    together = attack(model, images, norm)
    for i in range(len(images)):
        alone = attack(model, images[i : i + 1], norm, labels=some_labels()[i : i + 1])
        assert (alone - together[i : i + 1]).abs().max() <= 1e-12


@both_norms
def test_an_image_without_gradient_stays_where_it_is(norm):
    model = small_net()
    for parameter in model.parameters():
        parameter.data.zero_()
    images = some_images()
    assert torch.equal(attack(model, images, norm), images)


# --- random start ---------------------------------------------------------------------------


@both_norms
def test_a_random_start_is_reproducible_by_its_generator(norm):
    def start(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return attack(small_net(), some_images(), norm, random_start=True, generator=generator)

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))


def test_a_random_start_is_uniform_in_the_ball():
    """Uniform in an n-ball: radius^n is uniform in [0, 1]; in a box: each coordinate is uniform."""
    stats = pytest.importorskip("scipy.stats")
    like, generator = torch.zeros(4000, 1, 2, 2).double(), torch.Generator().manual_seed(0)
    in_ball = threat_model("l2").random_start(like, 0.7, generator)
    assert stats.kstest((lengths(in_ball) / 0.7).flatten() ** 4, "uniform").pvalue > 0.01
    direction = (in_ball / lengths(in_ball)).flatten(1)
    assert direction.mean(0).abs().max() < 0.05
    in_box = threat_model("linf").random_start(like, 0.7, generator)
    assert stats.kstest(((in_box / 0.7 + 1) / 2).flatten(), "uniform").pvalue > 0.01
