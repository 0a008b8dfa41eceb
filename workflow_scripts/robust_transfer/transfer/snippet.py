"""The few lines that load an exported model with nothing but torchvision."""

from typing import Any

import numpy as np
from torch import Tensor

from robust_transfer.backbones.architectures import SMALL_RESNET
from robust_transfer.backbones.small_resnet import FEATURE_MAP

#: Architectures whose auxiliary classifiers serve training alone; they are not exported.
AUXILIARY = {"googlenet": "aux", "inception_v3": "AuxLogits"}

_TEXT = '''"""The model in plain torchvision: python load_model.py IMAGE [IMAGE ...]."""

import sys
{early}from pathlib import Path

from PIL import Image, ImageOps
from safetensors.torch import load_file
{late}from torchvision import models
from torchvision.transforms import v2 as T

folder = Path(__file__).parent
classes = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
{network}
{load}
network.eval().requires_grad_(False)
prepare = T.Compose([{prepare}])
for path in sys.argv[1:]:
    image = prepare(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    print(path, classes[network(image.unsqueeze(0)).argmax()])
'''
_LOAD = 'network.load_state_dict(load_file(folder / "model.safetensors"))'
_LOAD_VERSIONED = """state = network.state_dict()  # it carries the version that MNASNet wants
state.update(load_file(folder / "model.safetensors"))
network.load_state_dict(state)"""
# The small residual network of this project, of torchvision's own blocks.
_SMALL = """
def block(i, o):  # halves the size
    shortcut = nn.Sequential(nn.Conv2d(i, o, 1, 2, bias=False), nn.BatchNorm2d(o))
    return models.resnet.BasicBlock(i, o, 2, shortcut)

network = nn.Sequential(OrderedDict(
    conv1=nn.Conv2d(3, {w}, {kernel}, {stride}, {padding}, bias=False), bn1=nn.BatchNorm2d({w}),
    relu=nn.ReLU(), stage1=models.resnet.BasicBlock({w}, {w}), stage2=block({w}, {w2}),
    stage3=block({w2}, {w4}), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
    fc=nn.Linear({w4}, len(classes))))"""


def snippet(about: dict[str, Any]) -> str:
    """Write the Python file that loads an exported model.

    Args:
        about: `architecture`, `image_size`, `mean`, `std`, `resolution` (of the cache that the
            model was fitted on) and `native_short_side` (None: images were not reduced).
    """
    load = _LOAD_VERSIONED if about["architecture"].startswith("mnasnet") else _LOAD
    small = SMALL_RESNET.fullmatch(about["architecture"])
    return _TEXT.format(
        early="from collections import OrderedDict\n" if small else "",
        late="from torch import nn\n" if small else "",
        network=_network(about),
        load=load,
        prepare=_prepare(about),
    )


def torchvision_state(architecture: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as the network of the snippet does.

    Args:
        architecture: of the backbone.
        state: under the keys of our network.
    """
    if SMALL_RESNET.fullmatch(architecture):
        return {name.replace(".shortcut.", ".downsample."): v for name, v in state.items()}
    unused = AUXILIARY.get(architecture)
    return {name: v for name, v in state.items() if not (unused and name.startswith(unused))}


def _network(about: dict[str, Any]) -> str:
    architecture = about["architecture"]
    small = SMALL_RESNET.fullmatch(architecture)
    if small:
        width, stride = int(small["width"] or 16), max(1, round(about["image_size"] / FEATURE_MAP))
        kernel = max(3, 2 * stride - 1)
        return _SMALL.format(
            w=width, w2=2 * width, w4=4 * width, kernel=kernel, stride=stride, padding=kernel // 2
        )
    if architecture == "wide_resnet50_4":
        return (
            "network = models.ResNet(models.resnet.Bottleneck, [3, 4, 6, 3], width_per_group=256,\n"
            "                        num_classes=len(classes))"
        )
    more = ", aux_logits=False, init_weights=False" if architecture in AUXILIARY else ""
    return f'network = models.get_model("{architecture}", num_classes=len(classes){more})'


def _prepare(about: dict[str, Any]) -> str:
    """Spell the steps from an upright RGB image to the network's input, one a line.

    What building the cache does is Pillow's, what reading it does torch's, as in the workflow.
    """
    steps = []
    side, size = about["native_short_side"], about["image_size"]
    if about["resolution"] != "native":
        steps += [f"T.Resize({about['resolution']})", f"T.CenterCrop({about['resolution']})"]
    elif side is not None and side != size:
        reduce = f"T.Resize({side})(i) if min(i.size) > {side} else i"
        steps.append(f"T.Lambda(lambda i: {reduce})")
    steps += ["T.PILToTensor()", f"T.Resize({size})", f"T.CenterCrop({size})"]
    steps.append("T.Lambda(lambda i: i / 255)")
    mean, std = ([float(str(np.float32(x))) for x in about[key]] for key in ("mean", "std"))
    steps.append(f"T.Normalize({mean}, {std})")  # the same numbers in float32
    return "".join(f"\n    {step}," for step in steps) + "\n"
