"""The paper's augmentation of ImageNet, for a whole batch at once and with any device.

Random resized crop, mirror, colour jitter of 0.1 and lighting noise of 0.05, each image with
numbers of its own: what the code of Salman et al. 2020 trained with (the library `robustness`,
data_augmentation.py, TRAIN_TRANSFORMS_IMAGENET), on floats instead of bytes between the steps.
"""

import math

import torch
from torch import Tensor

from robust_transfer.training.device import sent
from robust_transfer.training.pixels import as_pixels

SCALE = (0.08, 1.0)  # share of the image's area that a crop takes
RATIO = (3 / 4, 4 / 3)  # its width / height
TRIES = 10  # crops drawn until one lies inside; then the largest middle crop
JITTER = 0.1  # brightness, contrast and saturation times 1 - 0.1 to 1 + 0.1
LIGHTING = 0.05  # standard deviation along each principal component of the colours
# Principal components of the colours of ImageNet: Krizhevsky et al. 2012, section 4.1.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
GREY = (0.2989, 0.587, 0.114)  # weights of red, green and blue: ITU-R BT.601, as torchvision


def draw(n: int, height: int, width: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw the random numbers of a batch.

    Args:
        n: images.
        height: of each, pixels.
        width: likewise.
        generator: on the CPU.

    Returns:
        `box` (n, 4): top, left, height and width of the crop, whole pixels; `mirrored` (n,);
        `factors` (n, 3) of brightness, contrast and saturation; `order` (n, 3), in which they
        come; `light` (n, 3), added to the channels.
    """
    boxes = _boxes(n, height, width, generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    factors = 1 + JITTER * (2 * torch.rand(n, 3, generator=generator) - 1)
    order = torch.rand(n, 3, generator=generator).argsort(1)
    along = LIGHTING * torch.randn(n, 3, generator=generator) * torch.tensor(EIGENVALUES)
    light = along @ torch.tensor(EIGENVECTORS).T
    return {"box": boxes, "mirrored": mirrored, "factors": factors, "order": order, "light": light}


def apply(images: Tensor, drawn: dict[str, Tensor], *, size: int) -> Tensor:
    """Crop, mirror and colour a batch.

    Args:
        images: (n, 3, h, w) uint8.
        drawn: by `draw`, for these images.
        size: of the result, pixels a side.

    Returns:
        (n, 3, size, size) float32 in [0, 1], channels last in memory.
    """
    numbers = {name: sent(each, images.device) for name, each in drawn.items()}
    cropped = crop_and_resize(as_pixels(images), numbers["box"], size=size)
    coloured = jitter(mirror(cropped, numbers["mirrored"]), numbers["factors"], numbers["order"])
    lit = (coloured + numbers["light"].view(-1, 3, 1, 1)).clamp(0, 1)
    return lit.contiguous(memory_format=torch.channels_last)


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror some images left to right.

    Args:
        images: (n, 3, h, w).
        mirrored: (n,) bool.
    """
    return torch.where(sent(mirrored, images.device).view(-1, 1, 1, 1), images.flip(3), images)


def _boxes(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw crops of random area and shape: the first of ten that lies inside, or the middle."""
    area = height * width * torch.empty(n, TRIES).uniform_(*SCALE, generator=generator)
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio = torch.empty(n, TRIES).uniform_(low, high, generator=generator).exp()
    wide, tall = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    inside = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = inside.byte().argmax(1, keepdim=True)
    wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]
    middle_height = min(height, round(width / RATIO[0]))
    middle_width = min(width, round(height * RATIO[1]))
    found = inside.any(1)
    tall = torch.where(found, tall, middle_height)
    wide = torch.where(found, wide, middle_width)
    place = torch.rand(n, 2, generator=generator)
    top = torch.where(found, (place[:, 0] * (height - tall + 1)).long(), (height - tall) // 2)
    left = torch.where(found, (place[:, 1] * (width - wide + 1)).long(), (width - wide) // 2)
    return torch.stack([top, left, tall, wide], dim=1)


def crop_and_resize(images: Tensor, boxes: Tensor, *, size: int) -> Tensor:
    """Cut a box of its own out of each image and resize it, bilinear and antialiased.

    The resize is separable, so that it is two matrix products a batch, whatever the boxes.

    Args:
        images: (n, 3, h, w) floats.
        boxes: (n, 4): top, left, height and width, whole pixels, on the images' device.
        size: pixels a side.

    Returns:
        (n, 3, size, size).
    """
    top, left, tall, wide = boxes.unbind(1)
    rows = _filters(top, tall, images.shape[2], size).unsqueeze(1)
    columns = _filters(left, wide, images.shape[3], size).unsqueeze(1)
    return rows @ images @ columns.transpose(2, 3)


def _filters(first: Tensor, extent: Tensor, side: int, size: int) -> Tensor:
    """Return (n, size, side): what each input position gives to each output position.

    A triangle, as wide as an output pixel covers and at least one input pixel to either side;
    positions outside the box give nothing.
    """
    device = first.device
    scale = (extent.float() / size).view(-1, 1, 1)
    reach = scale.clamp_min(1)
    centre = scale * (torch.arange(size, device=device).view(1, -1, 1) + 0.5)
    position = torch.arange(side, device=device).view(1, 1, -1) - first.view(-1, 1, 1)
    weight = (1 - (position + 0.5 - centre).abs() / reach).clamp_min(0)
    weight = weight * ((position >= 0) & (position < extent.view(-1, 1, 1)))
    return weight / weight.sum(2, keepdim=True)


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast and saturation, for each image in an order of its own.

    Args:
        images: (n, 3, h, w) in [0, 1].
        factors: (n, 3) of brightness, contrast, saturation; 1 changes nothing.
        order: (n, 3): a permutation of 0, 1, 2 an image, the first comes first.

    Returns:
        Images in [0, 1].
    """
    for turn in range(3):
        for change, towards in enumerate((_black, _mean_grey, _grey)):
            factor = torch.where(order[:, turn] == change, factors[:, change], 1)
            factor = factor.view(-1, 1, 1, 1)
            images = (factor * images + (1 - factor) * towards(images)).clamp(0, 1)
    return images


def _black(images: Tensor) -> Tensor:
    return torch.zeros((), device=images.device)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.split(1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def _mean_grey(images: Tensor) -> Tensor:
    return _grey(images).mean((1, 2, 3), keepdim=True)
