"""The stages of a pretrained classifier, as the feature pyramid of a detector takes them."""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models import ResNet

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.small_resnet import SmallResNet
from robust_transfer.errors import ConfigError

MOST_STAGES = 5  # the stem counts as one, as in torchvision: 4 stages and the stem


@dataclass(frozen=True)
class Stage:
    """Where one stage of a network ends.

    Attributes:
        part: name of its module in the network.
        channels: of its output.
        stride: pixels of the image a position of its output, each way.
    """

    part: str
    channels: int
    stride: int


class Body(nn.Module):
    """The convolutional part of a network: its own modules under their own names.

    Args:
        parts: modules by name, in the order in which they are applied.
        stages: where the network's stages end, shallow first.
    """

    def __init__(self, parts: dict[str, nn.Module], stages: Sequence[Stage]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.stages = tuple(stages)
        self.returned: tuple[str, ...] = tuple(stage.part for stage in stages)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Map normalised (n, 3, height, width) images to the outputs of stages, named 0, 1..."""
        out, found = images.contiguous(memory_format=torch.channels_last), []
        for name, part in self.named_children():
            out = part(out)
            if name in self.returned:
                found.append(out)
        return OrderedDict((str(level), each) for level, each in enumerate(found))

    def keep_stages(self, minimum_stride: int) -> list[Stage]:
        """Return from now on the outputs of the stages from a stride on; the list of them."""
        kept = [stage for stage in self.stages if stage.stride >= minimum_stride]
        self.returned = tuple(stage.part for stage in kept)
        return kept

    def frozen_parts(self, trainable_stages: int) -> list[nn.Module]:
        """Return the modules below the deepest stages; the stem is the last stage to train.

        Args:
            trainable_stages: 0 (all are frozen) to 5 (none is, in any network).
        """
        names = [name for name, _ in self.named_children()]
        trained = [stage.part for stage in self.stages[::-1][:trainable_stages]]
        if trainable_stages > len(self.stages):
            trained = names
        return [part for name, part in self.named_children() if name not in trained]


def body_of(backbone: Backbone) -> Body:
    """Return the convolutional part of a backbone, with a copy of its weights.

    Args:
        backbone: of the ResNet family: `resnet_small`, or ResNet, Wide ResNet or ResNeXt of
            torchvision's class.

    Raises:
        ConfigError: another architecture.
    """
    network = copy.deepcopy(backbone.body)
    if isinstance(network, SmallResNet):
        return _small_body(network)
    if isinstance(network, ResNet):
        names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        channels = network.inplanes // 8
        stages = [Stage(f"layer{k}", channels << (k - 1), 2 << k) for k in (1, 2, 3, 4)]
        return Body({name: network.get_submodule(name) for name in names}, stages)
    raise ConfigError(
        f"detect: a {type(network).__name__} cannot carry a detector. Allowed are backbones of the "
        "ResNet family (resnet*, wide_resnet*, resnext* and resnet_small): their stages make the "
        "feature pyramid (Lin et al. 2017, arXiv:1612.03144). Put the others into a study "
        "without detectors."
    )


def _small_body(network: SmallResNet) -> Body:
    stem = network.conv1.stride[0]
    names = ("stage1", "stage2", "stage3")
    parts = {"conv1": network.conv1, "bn1": network.bn1, "relu": nn.ReLU()}
    parts |= {name: network.get_submodule(name) for name in names}
    width = network.conv1.out_channels
    return Body(parts, [Stage(name, width << k, stem << k) for k, name in enumerate(names)])
