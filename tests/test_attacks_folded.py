"""The folded copy of a network equals its eval mode, follows its training, and hides nothing."""

import pytest
import torch
from robust_transfer.attacks import FoldedAttackModel, pgd
from robust_transfer.attacks.evaluate import accuracy_under_attack
from robust_transfer.attacks.folded import fold_batch_norm
from robust_transfer.backbones.architectures import make_backbone
from torch import Tensor, nn
from torch.nn import functional as F


def trained_a_little(model: nn.Module, steps: int = 3) -> nn.Module:
    """Give weights, BatchNorm scales and statistics values that differ from the initial ones."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        images = torch.rand(8, 3, 32, 32, generator=generator, dtype=dtype)
        optimiser.zero_grad()
        F.cross_entropy(model.train()(images), torch.arange(8) % 5).backward()
        optimiser.step()
    return model


def backbone(architecture: str = "resnet_small", dtype: torch.dtype = torch.float64) -> nn.Module:
    made = make_backbone(
        architecture, classes=5, image_size=32, mean=[0.4] * 3, std=[0.2] * 3, seed=0
    )
    return trained_a_little(made.to(dtype))


def some_images(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=dtype)


def attack(model: nn.Module, images: Tensor, norm: str = "l2") -> Tensor:
    labels = torch.arange(len(images)) % 5
    return pgd(model, images, labels, norm=norm, epsilon=0.5, step_size=0.2, steps=3)


def test_a_folded_network_equals_the_eager_one_in_float64():
    model, images = backbone(), some_images()
    folded = FoldedAttackModel(model)
    assert folded.folded == 9
    assert folded.reason is None
    assert (folded(images) - model.eval()(images)).abs().max() <= 1e-10


def test_a_torchvision_network_folds_too():
    model, images = backbone("resnet18"), some_images()
    folded = FoldedAttackModel(model)
    assert folded.folded == 20
    assert (folded(images) - model.eval()(images)).abs().max() <= 1e-10


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_attack_on_the_folded_network_equals_that_on_the_eager_one(norm):
    """In float64 image by image; in float32 in loss, since rounding may flip a sign or a ReLU."""
    model, images = backbone(), some_images()
    fast, slow = (attack(m, images, norm) for m in (FoldedAttackModel(model), model))
    assert (fast - slow).abs().max() <= 1e-8
    model, images = backbone(dtype=torch.float32), some_images(torch.float32)
    fast, slow = (attack(m, images, norm) for m in (FoldedAttackModel(model), model))
    labels = torch.arange(4) % 5
    losses = [F.cross_entropy(model.eval()(x), labels) for x in (fast, slow)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.5), ("linf", 0.02)])
def test_accuracy_under_attack_of_the_folded_copy_is_that_of_the_network_itself(norm, epsilon):
    """On 300 images, of which the attack breaks some: at most one verdict may differ."""
    colours = torch.rand(5, 3, 1, 1, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(300) % 5
    noise = torch.randn(300, 3, 32, 32, generator=torch.Generator().manual_seed(6))
    images = (colours[labels] + 0.35 * noise).clamp(0, 1)
    model = make_backbone(
        "resnet_small", classes=5, image_size=32, mean=[0.4] * 3, std=[0.2] * 3, seed=0
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for rows in torch.arange(300).split(50):
        optimiser.zero_grad()
        F.cross_entropy(model.train()(images[rows]), labels[rows]).backward()
        optimiser.step()
    folded = FoldedAttackModel(model)
    assert folded.folded == 9
    size = {"norm": norm, "epsilon": epsilon, "step_size": epsilon / 4, "steps": 10}
    eager, fast = (
        accuracy_under_attack(model, images, labels, stand_in=each, **size)
        for each in (None, folded)
    )
    assert 0.05 < eager.float().mean() < 0.95
    assert int((eager != fast).sum()) <= 1


def test_a_refreshed_copy_follows_training_and_another_does_not():
    model, images = backbone(), some_images()
    folded = FoldedAttackModel(model)
    before = folded(images)
    trained_a_little(model)
    now = model.eval()(images)
    assert (before - now).abs().max() > 1e-3
    assert torch.equal(folded(images), before)
    folded.refresh()
    assert (folded(images) - now).abs().max() <= 1e-10


def test_a_refresh_keeps_every_tensor_in_its_place():
    """What a compiled graph or a CUDA graph relies on."""
    model = backbone()
    folded = FoldedAttackModel(model)
    places = [tensor.data_ptr() for tensor in folded.state_dict().values()]
    trained_a_little(model)
    folded.refresh()
    assert [tensor.data_ptr() for tensor in folded.state_dict().values()] == places


def test_folding_leaves_the_live_model_alone():
    model = backbone().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    folded = FoldedAttackModel(model)
    attack(folded, some_images())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))


def test_a_folded_network_is_frozen_and_stays_in_eval_mode():
    folded = FoldedAttackModel(backbone()).train()
    assert not any(module.training for module in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    assert all(p.grad is None for p in folded.parameters())


def test_channels_last_weights_stay_so():
    model = backbone().to(memory_format=torch.channels_last)
    folded = FoldedAttackModel(model)
    assert folded.network.body.conv1.weight.is_contiguous(memory_format=torch.channels_last)


class Awkward(nn.Module):
    """Convolutions whose BatchNorm may not be folded, beside two that may."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 1)
        self.shared_norm = nn.BatchNorm2d(3)
        self.branch, self.branch_norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.first_norm = nn.BatchNorm2d(3)
        self.plain, self.plain_norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)
        self.batch, self.batch_norm = (
            nn.Conv2d(3, 3, 1),
            nn.BatchNorm2d(3, track_running_stats=False),
        )
        self.grouped = nn.Conv2d(3, 6, 3, 2, 1, groups=3, bias=False, padding_mode="reflect")
        self.grouped_norm = nn.BatchNorm2d(6, eps=0.1)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared_norm(self.shared(self.shared_norm(self.shared(self.first_norm(x)))))
        branch = self.branch(x)
        x = branch + self.branch_norm(branch)  # the convolution's own output is used too
        x = self.batch_norm(self.batch(self.plain_norm(self.plain(x))))
        return self.fc(self.grouped_norm(self.grouped(x)).relu().mean((2, 3)))


def test_only_a_batch_norm_right_after_its_own_convolution_is_folded():
    torch.manual_seed(0)
    model, images = trained_a_little(Awkward().double()), some_images()
    folded = FoldedAttackModel(model)
    assert folded.folded == 2, "plain and grouped"
    assert (folded(images) - model.eval()(images)).abs().max() <= 1e-10


class Untraceable(nn.Module):
    """Its path depends on the values of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 100:
            x = x / 2
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


def test_a_network_that_cannot_be_traced_is_copied_whole_with_the_reason():
    torch.manual_seed(0)
    model, images = trained_a_little(Untraceable().double()), some_images()
    folded = FoldedAttackModel(model)
    assert folded.folded == 0
    assert "Untraceable cannot be traced" in folded.reason
    trained_a_little(model)
    folded.refresh()
    assert torch.equal(folded(images), model.eval()(images))


def test_a_network_without_batch_norm_is_copied_whole_with_the_reason():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 5))
    folded = fold_batch_norm(model)
    images = some_images(torch.float32)
    assert torch.equal(folded(images), model(images))
    assert "no BatchNorm2d" in folded.reason


def test_weights_kept_in_bfloat16_do_what_autocast_would_do():
    model, images = backbone(dtype=torch.float32), some_images(torch.float32)
    kept, cast = FoldedAttackModel(model, conv_dtype=torch.bfloat16), FoldedAttackModel(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kept(images), cast(images))
