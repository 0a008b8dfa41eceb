"""A small residual network for images of 32 to 64 pixels, quick enough for two CPU cores."""

from torch import Tensor, nn
from torch.nn import functional as F

FEATURE_MAP = 16  # pixels a side after the stem, whatever the image size: the cost is set here
#: With fewer channels a strided 1x1 convolution is taken apart: on a CPU, in channels_last, its
#: weight gradient writes beyond its buffer (oneDNN issue 6035): below a block of
#: 8 with AVX2, as seen, and presumably of 16 with AVX-512.
SAFE_CHANNELS = 16


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        self.thinning = stride if channels_in < SAFE_CHANNELS else 1
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride // self.thinning, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        seen = x if self.thinning == 1 else x[:, :, :: self.thinning, :: self.thinning]
        return F.relu(self.bn2(self.conv2(out)).add_(self.shortcut(seen)), inplace=True)


class SmallResNet(nn.Module):
    """Stem, three stages of one block (`width`, 2 and 4 times it), average pool, linear head.

    The stem's stride brings any image to about 16x16 positions, so that an image of 64 pixels
    costs about what one of 32 does.

    Args:
        classes: outputs of the head.
        width: channels of the first stage.
        image_size: pixels a side of the images to come.
    """

    def __init__(self, classes: int, *, width: int = 16, image_size: int = 32) -> None:
        super().__init__()
        stride = max(1, round(image_size / FEATURE_MAP))
        kernel = max(3, 2 * stride - 1)
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stage1 = _Block(width, width, 1)
        self.stage2 = _Block(width, 2 * width, 2)
        self.stage3 = _Block(2 * width, 4 * width, 2)
        self.fc = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 3, size, size) normalised images to (n, classes) logits."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.stage3(self.stage2(self.stage1(out)))
        # Channels last for the pool: its gradient then has the layout of the rest, or the first
        # ReLU of the backward pass would take ten times as long.
        return self.fc(out.permute(0, 2, 3, 1).mean((1, 2)))
