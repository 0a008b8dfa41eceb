"""The feature pyramid of a detector, and the anchors and regions on its levels."""

import math

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelP6P7
from torchvision.ops.poolers import initLevelMapper

from robust_transfer.detection.stages import Body

RATIOS = (0.5, 1.0, 2.0)  # height to width of the anchors


class Anchors(AnchorGenerator):
    """Anchors in float32 whatever the precision of the features.

    bfloat16 knows 256 numbers an octave: at 1,000 pixels a box would move in steps of 4.
    """

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device) -> None:
        """Bring the anchors of one position to a device."""
        super().set_cell_anchors(torch.promote_types(dtype, torch.float32), device)


class Pyramid(nn.Module):
    """A body and the feature pyramid on its stages, under torchvision's names.

    Args:
        body: of a backbone.
        minimum_stride: stages of smaller strides are left out, pixels.
        channels: of every level.
        extra: makes coarser levels.
    """

    def __init__(
        self, body: Body, *, minimum_stride: int, channels: int, extra: ExtraFPNBlock
    ) -> None:
        super().__init__()
        stages = body.keep_stages(minimum_stride)
        more = 2 if isinstance(extra, LastLevelP6P7) else 1
        self.strides = [stage.stride for stage in stages]
        self.names = [str(level) for level in range(len(stages))]
        self.all_strides = self.strides + [self.strides[-1] << k for k in range(1, more + 1)]
        self.body, self.out_channels = body, channels
        self.fpn = FeaturePyramidNetwork([s.channels for s in stages], channels, extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map normalised images to (n, channels, height / stride, width / stride) by level."""
        return self.fpn(self.body(images))

    def anchors(self, *scales: float) -> Anchors:
        """Return anchors whose sides are so many strides of their level; three ratios each."""
        sizes = tuple(tuple(int(s * stride) for s in scales) for stride in self.all_strides)
        return Anchors(sizes, (RATIOS,) * len(sizes))

    def regions(self, size: int, *, samples: int = 2) -> MultiScaleRoIAlign:
        """Return what cuts regions of `size` x `size` out of the level that fits each box.

        Args:
            size: of a region, positions a side.
            samples: taken a position, each way.
        """
        pool = MultiScaleRoIAlign(self.names, output_size=size, sampling_ratio=samples)
        # torchvision would infer strides from the first batch, rounded to powers of two, and those
        # of a resnet_small for 48 pixels are 3, 6 and 12.
        pool.scales = [1 / stride for stride in self.strides]
        finest = int(math.log2(self.strides[0]))
        pool.map_levels = initLevelMapper(finest, finest + len(self.strides) - 1)
        return pool
