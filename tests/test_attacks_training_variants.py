"""FGSM-RS, N-FGSM and the inner maximisation of TRADES."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.attacks import fgsm_rs, n_fgsm, pgd, threat_model, trades_inner
from torch import Tensor, nn
from torch.nn import functional as F

both_norms = pytest.mark.parametrize("norm", ["l2", "linf"])


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
        nn.Linear(6 * 16, 4),
    )  # fmt: skip
    net(torch.rand(32, 3, 6, 6))
    return net


def some_images(count: int = 6, seed: int = 1) -> Tensor:
    noise = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return ((noise - 0.5) * 1.5 + 0.5).clamp(0, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sizes(perturbation: Tensor, norm: str) -> Tensor:
    flat = perturbation.flatten(1).double()
    return flat.norm(dim=1) if norm == "l2" else flat.abs().amax(1)


LABELS = torch.arange(6) % 4


@settings(max_examples=20, deadline=None)
@given(norm=st.sampled_from(["l2", "linf"]), epsilon=st.floats(0, 2), seed=st.integers(0, 500))
def test_every_variant_stays_in_its_ball_and_in_the_box(norm, epsilon, seed):
    model, images = small_net(), some_images(seed=seed)
    given_ = {"norm": norm, "epsilon": epsilon, "generator": seeded(seed)}
    attacked = {
        1: fgsm_rs(model, images, LABELS, **given_),
        3: n_fgsm(model, images, LABELS, **given_),  # noise of 2 epsilon, then a step of 1
        1.0 + 1e-9: trades_inner(model, images, LABELS, step_size=epsilon, steps=2, **given_),
    }
    for radius, perturbed in attacked.items():
        assert sizes(perturbed - images, norm).max() <= radius * epsilon + 1e-6
        assert perturbed.min() >= 0
        assert perturbed.max() <= 1


@both_norms
def test_n_fgsm_leaves_the_ball_of_epsilon(norm):
    perturbed = n_fgsm(small_net(), some_images(), LABELS, norm=norm, epsilon=0.05)
    assert sizes(perturbed - some_images(), norm).max() > 0.06


@both_norms
def test_n_fgsm_without_noise_is_one_step_of_epsilon(norm):
    """And so is PGD of one step: the projection has nothing to do."""
    model, images = small_net(), some_images()
    ours = n_fgsm(model, images, LABELS, norm=norm, epsilon=0.1, relative_noise=0)
    step = pgd(model, images, LABELS, norm=norm, epsilon=0.1, step_size=0.1, steps=1)
    torch.testing.assert_close(ours, step, rtol=0, atol=1e-6)


def test_n_fgsm_follows_the_published_algorithm():
    """Algorithm 1 of arXiv:2202.01181 written out: noise, gradient there, signed step, clip."""
    model, images, epsilon = small_net().eval(), some_images(), 0.1
    noise = (torch.rand(images.shape, generator=seeded()) * 2 - 1) * 2 * epsilon
    noisy = (images + noise).clamp(0, 1).requires_grad_(True)
    F.cross_entropy(model(noisy), LABELS).backward()
    expected = (noisy + epsilon * noisy.grad.sign()).clamp(0, 1).detach()
    ours = n_fgsm(model, images, LABELS, norm="linf", epsilon=epsilon, generator=seeded())
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_fgsm_rs_follows_the_published_algorithm():
    """Algorithm 3 of arXiv:2001.03994 written out."""
    model, images, epsilon = small_net().eval(), some_images(), 0.1
    delta = (torch.rand(images.shape, generator=seeded()) * 2 - 1) * epsilon
    start = (images + delta).clamp(0, 1).requires_grad_(True)
    F.cross_entropy(model(start), LABELS).backward()
    delta = (start + 1.25 * epsilon * start.grad.sign() - images).clamp(-epsilon, epsilon)
    ours = fgsm_rs(model, images, LABELS, norm="linf", epsilon=epsilon, generator=seeded())
    torch.testing.assert_close(ours, (images + delta).clamp(0, 1).detach(), rtol=0, atol=1e-6)


def published_trades(model: nn.Module, images: Tensor, epsilon: float, noise: Tensor) -> Tensor:
    """The linf branch of the authors' trades.py, with its clean logits recomputed every step."""
    perturbed = images + 0.001 * noise
    for _ in range(3):
        perturbed = perturbed.detach().requires_grad_(True)
        divergence = nn.KLDivLoss(reduction="sum")
        loss = divergence(F.log_softmax(model(perturbed), 1), F.softmax(model(images), 1))
        (gradient,) = torch.autograd.grad(loss, perturbed)
        perturbed = perturbed.detach() + 0.05 * gradient.sign()
        perturbed = torch.min(torch.max(perturbed, images - epsilon), images + epsilon)
        perturbed = perturbed.clamp(0, 1)
    return perturbed


def test_trades_inner_equals_the_published_code():
    model, images = small_net().double().eval(), some_images().double() * 0.9 + 0.05
    noise = torch.randn(images.shape, generator=seeded(), dtype=torch.float64)
    expected = published_trades(model, images, 0.1, noise)
    ours = trades_inner(
        model, images, LABELS, norm="linf", epsilon=0.1, step_size=0.05, steps=3,
        generator=seeded(),
    )  # fmt: skip
    assert (ours - expected).abs().max() <= 1e-12


@both_norms
def test_trades_inner_raises_the_divergence_well_above_that_of_noise(norm):
    model, images = small_net().eval(), some_images()
    clean = F.log_softmax(model(images), 1).detach()

    def divergence(perturbed: Tensor) -> Tensor:
        logs = F.log_softmax(model(perturbed), 1).detach()
        return F.kl_div(logs, clean, log_target=True, reduction="none").sum(1)

    arguments = {"norm": norm, "epsilon": 0.2, "step_size": 0.1, "generator": seeded()}
    attacked = trades_inner(model, images, LABELS, steps=5, **arguments)
    noise = threat_model(norm).start(images, 0.2, seeded())
    assert (divergence(attacked) > 3 * divergence(noise)).all()


@both_norms
def test_variants_leave_the_model_alone_even_within_autocast(norm):
    """TRADES looks at clean logits without a graph; autocast must not keep those weights."""
    model = small_net().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for attack in (fgsm_rs, n_fgsm, trades_inner):
        extra = {"step_size": 0.1, "steps": 1} if attack is trades_inner else {}
        with torch.autocast("cpu", dtype=torch.bfloat16):
            attacked = attack(model, some_images(), LABELS, norm=norm, epsilon=0.1, **extra)
            assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
            assert model.training
            loss = model.eval()(attacked).float().sum()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        model.train().zero_grad(set_to_none=True)
