"""The image's gradient through a network's first convolution, as a dense convolution.

On a CPU the library's backward pass of a strided convolution from three channels runs at a tenth of
the rate of the others, and is a fifth of an attack's time on a small network. The same numbers come
out of one convolution over the grid of outputs, with a channel for each place within a stride,
whose results are then laid side by side (Shi et al. 2016, arXiv:1609.05158, section 2.2: "sub-pixel
convolution"). Its kernel holds some zeros, and is quicker nevertheless.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW_CHANNELS = 4  # of input: those of images, for which the library is slow
LANES = 16  # channels that a vector unit takes at once: zeros fill the last of them up


def with_quick_stem(network: nn.Module) -> nn.Module:
    """Replace the convolutions of images in a frozen network by quicker ones, in place.

    Args:
        network: its parameters take no gradient; they stay the same objects.

    Returns:
        The network.
    """
    for name, module in list(network.named_modules()):
        if name and _is_stem(module):
            network.set_submodule(name, StemConvolution(module))
    return network


def _is_stem(module: nn.Module) -> bool:
    """Tell whether a layer is a strided convolution, the same both ways, from few channels."""
    if type(module) is not nn.Conv2d:  # a subclass may do more
        return False
    one = (module.kernel_size, module.stride, module.padding)
    return (
        module.in_channels <= FEW_CHANNELS
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and all(not isinstance(each, str) and each[0] == each[1] for each in one)
        and 1 < module.stride[0] <= module.kernel_size[0]
    )


class StemConvolution(nn.Conv2d):
    """A frozen convolution whose input's gradient is quick on a CPU.

    Args:
        conv: strided, the same both ways, without dilation or groups. Its parameters are taken.
    """

    places: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            int(conv.padding[0]),
            device="meta",
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.training = conv.training
        self.first, places = _places(conv)
        self.register_buffer("places", places.to(conv.weight.device), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, channels, height, width) images to what the convolution makes of them."""
        quick = (
            images.device.type == "cpu"
            and images.requires_grad
            and images.dtype == self.weight.dtype
            and not self.weight.requires_grad
            and not torch.compiler.is_compiling()
        )
        return _Convolve.apply(images, self) if quick else super().forward(images)

    def input_gradient(self, gradient: Tensor, height: int, width: int) -> Tensor:
        """Return the gradient of the images from that of the outputs.

        Args:
            gradient: (n, out_channels, rows, columns).
            height: of the images, pixels.
            width: likewise.

        Returns:
            (n, in_channels, height, width), channels last.
        """
        stride, channels = self.stride[0], self.in_channels
        n, _, rows, columns = gradient.shape
        tall, wide = -(-height // stride), -(-width // stride)
        flat = torch.cat([self.weight.reshape(-1), self.weight.new_zeros(1)])
        kernel = flat[self.places].contiguous(memory_format=torch.channels_last)
        reach = kernel.shape[2] - 1 + self.first  # the last output that an input looks at
        down = max(0, -self.first, tall + reach - rows)
        right = max(0, -self.first, wide + reach - columns)
        dense = F.conv2d(gradient, kernel, padding=(down, right)).permute(0, 2, 3, 1)
        top, left = down + self.first, right + self.first
        dense = dense[:, top : top + tall, left : left + wide, : stride * stride * channels]
        dense = dense.unflatten(3, (stride, stride, channels)).permute(0, 1, 3, 2, 4, 5)
        whole = dense.reshape(n, tall * stride, wide * stride, channels)
        return whole[:, :height, :width].permute(0, 3, 1, 2)


def _places(conv: nn.Conv2d) -> tuple[int, Tensor]:
    """Say which weight stands where in the kernel of the dense convolution.

    Output `i - steps` looks at input `stride * i + phase` by the kernel's tap `t` where
    `t - padding = stride * steps + phase`.

    Returns:
        The first output that an input looks at, counted from i, and (channels of all phases,
        out_channels, taps, taps) indices into the flat weights; one beyond them means 0.
    """
    stride, size, padding = conv.stride[0], conv.kernel_size[0], int(conv.padding[0])
    steps_and_phase = [divmod(tap - padding, stride) for tap in range(size)]
    first, last = -steps_and_phase[-1][0], -steps_and_phase[0][0]
    taps = last - first + 1
    weights = torch.arange(conv.weight.numel()).view(conv.weight.shape).transpose(0, 1)
    phases = torch.full(
        (stride, stride, conv.in_channels, conv.out_channels, taps, taps), conv.weight.numel()
    )
    for y, (up, row) in enumerate(steps_and_phase):
        for x, (left, column) in enumerate(steps_and_phase):
            phases[row, column, :, :, -up - first, -left - first] = weights[..., y, x]
    phases = phases.flatten(0, 2)
    return first, F.pad(phases, (0, 0) * 3 + (0, -len(phases) % LANES), value=conv.weight.numel())


class _Convolve(torch.autograd.Function):
    """The library's convolution forward, the dense one backward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, conv: StemConvolution) -> Tensor:
        """Convolve, and keep no image: the gradient needs their size alone."""
        ctx.conv, ctx.height, ctx.width = conv, *images.shape[2:]
        return F.conv2d(images, conv.weight, conv.bias, conv.stride, conv.padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the images; frozen weights have none."""
        return ctx.conv.input_gradient(gradient, ctx.height, ctx.width), None
