"""Architectures by name."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.small_resnet import SmallResNet
from robust_transfer.errors import ConfigError

SMALL_RESNET = re.compile(r"resnet_small(?:_w(?P<width>\d+))?")


def make_backbone(
    architecture: str,
    *,
    classes: int,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int | None,
) -> Backbone:
    """Build a freshly initialised backbone.

    Args:
        architecture: `resnet_small`, `resnet_small_w<width>`, `wide_resnet50_4` (ResNet-50 with
            width_per_group 256, Salman et al. 2020), or any torchvision classification network.
        classes: outputs of the head.
        image_size: network input, pixels a side.
        mean: of the source's training images, one number a channel, in [0, 1].
        std: likewise.
        seed: of the initial weights; None: none are drawn (seconds for a large network), and all
            must be loaded over.

    Raises:
        ConfigError: no such architecture.
    """
    if seed is None:
        with _NothingDrawn():
            network = _network(architecture, classes, image_size)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network(architecture, classes, image_size)
    return Backbone(network, mean=mean, std=std).to(memory_format=torch.channels_last)


class _NothingDrawn(TorchFunctionMode):
    """Leaves weights undrawn. The meta device would too, but imports a compiler: 2 s a job."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        drawing = func in (Tensor.normal_, Tensor.uniform_)
        return args[0] if drawing else func(*args, **(kwargs or {}))


def _network(architecture: str, classes: int, image_size: int) -> nn.Module:
    small = SMALL_RESNET.fullmatch(architecture)
    if small:
        return SmallResNet(classes, width=int(small["width"] or 16), image_size=image_size)
    from torchvision import models  # 5 s of import, for those who need it

    if architecture == "wide_resnet50_4":
        return models.ResNet(
            models.resnet.Bottleneck, [3, 4, 6, 3], num_classes=classes, width_per_group=256
        )
    try:
        return models.get_model(architecture, weights=None, num_classes=classes)
    except ValueError as error:
        raise ConfigError(
            f"pretrain.backbones: unknown architecture '{architecture}'. Allowed are resnet_small, "
            "resnet_small_w<width>, wide_resnet50_4 and the classification networks of torchvision."
        ) from error
