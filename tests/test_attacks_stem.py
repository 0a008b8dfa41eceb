"""The gradient through a first convolution is that of the library, by another way."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.attacks.folded import FoldedAttackModel
from robust_transfer.attacks.stem import StemConvolution, with_quick_stem
from robust_transfer.backbones.architectures import make_backbone
from torch import Tensor, nn


def frozen(*shape: int, **options: object) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(*shape, dtype=torch.float64, **options).requires_grad_(False)


def quick(conv: nn.Conv2d) -> nn.Module:
    return with_quick_stem(nn.Sequential(conv))[0]


def gradient(conv: nn.Module, images: Tensor) -> Tensor:
    images = images.clone().requires_grad_(True)
    outputs = conv(images)
    towards = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3)).double()
    return torch.autograd.grad(outputs, images, towards)[0]


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_outputs_and_gradients_equal_those_of_the_library_in_float64(data: st.DataObject):
    size = data.draw(st.integers(2, 11), "kernel")
    stride = data.draw(st.integers(2, size), "stride")
    padding = data.draw(st.integers(0, size), "padding")
    channels = data.draw(st.integers(1, 4), "channels")
    height, width = (data.draw(st.integers(size, 3 * size + 7), side) for side in ("high", "wide"))
    conv = frozen(channels, 5, size, stride, padding, bias=data.draw(st.booleans(), "bias"))
    images = torch.rand(2, channels, height, width, dtype=torch.float64)
    fast = quick(conv)
    assert isinstance(fast, StemConvolution)
    assert torch.equal(fast(images), conv(images))
    assert (gradient(fast, images) - gradient(conv, images)).abs().max() <= 1e-12


@pytest.mark.parametrize(
    "conv",
    [
        frozen(3, 5, 3, 1),
        frozen(5, 5, 3, 2),
        frozen(3, 6, 3, 2, groups=3),
        frozen(3, 5, 3, 2, dilation=2),
        frozen(3, 5, 3, 2, padding=1, padding_mode="reflect"),
        frozen(3, 5, (3, 5), 2),
        frozen(3, 5, 3, (2, 1)),
        frozen(3, 5, 3, 2, padding=(0, 1)),
        frozen(3, 5, 2, 3),
        frozen(3, 5, 3, padding="same"),
    ],
    ids=str,
)
def test_any_other_convolution_stays_as_it_is(conv: nn.Conv2d):
    assert quick(conv) is conv


def test_the_quick_way_is_taken_for_the_gradient_of_images_alone():
    conv = quick(frozen(3, 5, 3, 2))
    images = torch.rand(2, 3, 9, 9, dtype=torch.float64)
    assert conv(images).grad_fn is None
    assert "Convolve" in conv(images.requires_grad_(True)).grad_fn.name()
    conv.weight.requires_grad_(True)
    assert torch.autograd.grad(conv(images).sum(), conv.weight)[0].abs().sum() > 0


@pytest.mark.parametrize("architecture", ["resnet_small", "resnet18"])
def test_the_copy_that_is_attacked_has_a_quick_stem_which_follows_the_live_weights(architecture):
    model = make_backbone(architecture, classes=5, image_size=32, mean=[0.4] * 3, std=[0.2] * 3,
                          seed=0).double().eval()  # fmt: skip
    folded = FoldedAttackModel(model)
    assert sum(isinstance(module, StemConvolution) for module in folded.modules()) == 1
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    for scale in (1.0, 1.5):
        with torch.no_grad():
            next(model.parameters()).mul_(scale)
        folded.refresh()
        assert (gradient(folded, images) - gradient(model, images)).abs().max() <= 1e-9
