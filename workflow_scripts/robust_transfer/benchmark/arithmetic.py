"""What the hardware can do, and what a network asks of it."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.benchmark.clock import seconds_of


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the rate of a large matrix product: operations a second, 2 a multiply-add.

    Args:
        device: where.
        dtype: of the matrices.

    Returns:
        The best of several products: what the machine can do when nothing disturbs it.
    """
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = [seconds_of(lambda: left @ right, device, repeats=3) for _ in range(6)]
    return 2 * side**3 / min(seconds[1:])


def forward_flop(network: str, image_size: int, classes: int) -> float:
    """Count the operations of one image's forward pass, without computing it.

    Args:
        network: an architecture of `make_backbone`.
        image_size: pixels a side.
        classes: outputs.

    Returns:
        Operations, 2 a multiply-add, of convolutions and matrix products.
    """
    channels = {"mean": [0.5] * 3, "std": [0.25] * 3}
    backbone = make_backbone(network, classes=classes, image_size=image_size, seed=None, **channels)
    backbone, image = backbone.to("meta"), torch.zeros(1, 3, image_size, image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        backbone.eval()(image)
    return float(counter.get_total_flops())
