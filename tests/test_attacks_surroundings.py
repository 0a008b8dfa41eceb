"""What an attack must leave alone, what it must not depend on, and what it refuses."""

import pytest
import torch
from attack_subjects import attack, both_norms, sizes, small_net, some_images
from torch import nn

# --- what an attack must not touch ----------------------------------------------------------


@both_norms
def test_pgd_leaves_mode_buffers_and_gradients_of_the_model_alone(norm):
    model = small_net().train()
    model[1].eval()  # one module in eval mode on purpose
    model[0].weight.requires_grad_(False)
    model[5].weight.grad = torch.full_like(model[5].weight, 7.0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    attack(model, some_images(), norm, random_start=True)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 5
    assert (model[5].weight.grad == 7).all()
    assert all(p.grad is None for name, p in model.named_parameters() if name != "5.weight")


def test_the_mode_is_restored_after_an_error():
    model = small_net().train()
    with pytest.raises(ValueError, match="5 outputs"):
        attack(model, some_images(), labels=torch.full((6,), 5))
    assert all(module.training for module in model.modules())


@both_norms
def test_a_model_in_train_mode_is_attacked_as_in_eval_mode(norm):
    images = some_images()
    in_train, in_eval = (attack(m, images, norm) for m in (small_net(), small_net().eval()))
    assert torch.equal(in_train, in_eval)


def test_frozen_weights_and_callers_without_gradients_do_not_matter():
    expected = attack(small_net(), some_images())
    frozen = small_net().requires_grad_(False)
    assert torch.equal(attack(frozen, some_images()), expected)
    with torch.no_grad():
        assert torch.equal(attack(frozen, some_images()), expected)
    with torch.inference_mode():  # images and labels made here are inference tensors
        assert torch.equal(attack(frozen, some_images()), expected)


def test_channels_last_images_stay_so_and_change_nothing():
    model, images = small_net().double(), some_images(dtype=torch.float64)
    expected = attack(model, images)
    model = model.to(memory_format=torch.channels_last)
    attacked = attack(model, images.contiguous(memory_format=torch.channels_last))
    assert attacked.is_contiguous(memory_format=torch.channels_last)
    assert (attacked - expected).abs().max() <= 1e-12


@both_norms
def test_small_steps_survive_bfloat16(norm):
    """Near 1 bfloat16 is spaced by 1/256: a perturbation kept in it would be lost or doubled."""
    model, images = small_net(), (some_images() + 3) / 4
    epsilon = 0.01 if norm == "l2" else 0.001
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = attack(model, images, norm, epsilon=epsilon, step_size=epsilon / 5, steps=10)
    assert attacked.dtype == torch.float32
    moved = sizes(attacked - images, norm)
    assert moved.max() <= epsilon + 1e-6
    assert moved.min() > 0.9 * epsilon
    exact = attack(model, images, norm, epsilon=epsilon, step_size=epsilon / 5, steps=10)
    cosine = nn.functional.cosine_similarity(
        (attacked - images).flatten(1), (exact - images).flatten(1)
    )
    assert cosine.min() > 0.5


def test_an_attack_within_autocast_leaves_the_training_step_its_gradients():
    model, images = small_net(), some_images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = attack(model, images)
        loss = model(attacked).float().sum()
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_distributed_model_can_be_attacked_and_trained_in_turn():
    """Its wrapper waits for weight gradients, which an attack never makes: it is bypassed."""
    dist = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        model = small_net()
        wrapped = nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            attacked = attack(wrapped, some_images())
            wrapped(attacked).sum().backward()
        assert torch.equal(attack(wrapped, some_images()), attack(model, some_images()))
    finally:
        dist.destroy_process_group()


def test_an_empty_batch_stays_empty():
    assert attack(small_net(), some_images(0)).shape == (0, 3, 8, 8)


# --- what it refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "l_2"}, "Did you mean 'l2'"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"step_size": -1.0}, "step_size is -1.0"),
        ({"steps": -1}, "steps is -1"),
        ({"labels": torch.tensor([0, 1])}, "one int64 for each of 6 images"),
        ({"labels": torch.zeros(6)}, "labels are torch.float32"),
        ({"labels": torch.full((6,), -1)}, "labels hold -1"),
        ({"labels": torch.full((6,), 5)}, "expected 0 to 4"),
        ({"targets": torch.full((6,), 9)}, "targets span"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValueError, match=message):
        attack(small_net(), some_images(), **({"norm": "l2"} | changes))


@pytest.mark.parametrize("shift", [-0.01, 0.5, float("nan")])
def test_images_outside_the_unit_box_are_refused(shift):
    with pytest.raises(ValueError, match="expected \\[0, 1\\]"):
        attack(small_net(), some_images() + shift)


def test_images_of_integers_are_refused():
    with pytest.raises(ValueError, match="divide by 255"):
        attack(small_net(), torch.zeros(6, 3, 8, 8, dtype=torch.uint8))


def test_values_are_not_looked_at_when_told_so():
    images = some_images() * 1.5
    attacked = attack(small_net(), images, check=False)
    assert attacked.max() <= 1
