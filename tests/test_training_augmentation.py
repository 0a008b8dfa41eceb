"""The ImageNet augmentation equals torchvision's own operations on the same numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.training import imagenet_augmentation as imagenet
from robust_transfer.training.augmentation import NAMES, augmentation
from torchvision.transforms.v2 import functional as V

N, SIDE = 6, 40


def images(n=N, height=SIDE, width=SIDE):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def drawn(n=N, height=SIDE, width=SIDE, seed=0):
    return imagenet.draw(n, height, width, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [16, 40, 64])
def test_crops_equal_torchvisions_antialiased_resized_crop(size):
    pixels, boxes = images() / 255, drawn()["box"]
    ours = imagenet.crop_and_resize(pixels, boxes, size=size)
    for image, box, own in zip(pixels, boxes.tolist(), ours, strict=True):
        theirs = V.resized_crop(image, *box, [size, size], antialias=True)
        torch.testing.assert_close(own, theirs, rtol=0, atol=2e-6)


def test_colours_equal_torchvisions_in_the_order_of_each_image():
    pixels, numbers = images() / 255, drawn()
    changes = (V.adjust_brightness, V.adjust_contrast, V.adjust_saturation)
    ours = imagenet.jitter(pixels, numbers["factors"], numbers["order"])
    for image, factors, order, own in zip(
        pixels, numbers["factors"].tolist(), numbers["order"].tolist(), ours, strict=True
    ):
        for change in order:
            image = changes[change](image, factors[change])
        torch.testing.assert_close(own, image, rtol=0, atol=1e-5)
    assert len({tuple(order) for order in drawn(50)["order"].tolist()}) == 6


def test_the_whole_equals_torchvisions_operations_one_after_the_other():
    given, numbers = images(), drawn()
    ours = imagenet.apply(given, numbers, size=24)
    for row in range(N):
        box = numbers["box"][row].tolist()
        image = V.resized_crop(given[row] / 255, *box, [24, 24], antialias=True)
        if numbers["mirrored"][row]:
            image = V.horizontal_flip(image)
        changes = (V.adjust_brightness, V.adjust_contrast, V.adjust_saturation)
        for change in numbers["order"][row].tolist():
            image = changes[change](image, float(numbers["factors"][row][change]))
        image = (image + numbers["light"][row].view(3, 1, 1)).clamp(0, 1)
        torch.testing.assert_close(ours[row], image, rtol=0, atol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 1000))
def test_every_crop_lies_inside_and_takes_a_share_of_the_area(height, width, seed):
    top, left, tall, wide = drawn(64, height, width, seed)["box"].unbind(1)
    assert bool((top >= 0).all() and (left >= 0).all())
    assert bool((top + tall <= height).all() and (left + wide <= width).all())
    assert bool((tall >= 1).all() and (wide >= 1).all())


def test_an_image_too_long_for_any_crop_gives_its_middle():
    """Torchvision: the largest middle crop of the nearest allowed shape."""
    generator = torch.Generator().manual_seed(0)
    boxes = imagenet.draw(200, 4, 400, generator)["box"]
    assert boxes[:, 2].max() <= 4
    middle = (boxes == torch.tensor([0, 197, 4, 5])).all(1)
    assert middle.any()


def test_areas_and_shapes_are_spread_as_stated():
    box = drawn(4000, 200, 200)["box"].double()
    area, ratio = box[:, 2] * box[:, 3] / 200**2, box[:, 3] / box[:, 2]
    assert 0.07 < area.min() < 0.1 < 0.9 < area.max() <= 1
    assert 0.72 < ratio.min() < 0.78 < 1.28 < ratio.max() < 1.37


def test_lighting_has_the_covariance_of_its_components():
    light = drawn(20000)["light"].double()
    vectors = torch.tensor(imagenet.EIGENVECTORS, dtype=torch.float64)
    spread = 0.05 * torch.tensor(imagenet.EIGENVALUES, dtype=torch.float64)
    expected = vectors @ torch.diag(spread**2) @ vectors.T
    torch.testing.assert_close(torch.cov(light.T), expected, rtol=0.05, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_a_batch_is_augmented_as_in_the_whole(name):
    augment = augmentation(name)
    whole = augment(images(), torch.Generator().manual_seed(5))
    rows = slice(1, None, 2)
    part = augment.share(images()[rows], torch.Generator().manual_seed(5), n=N, rows=rows)
    torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-6)
    assert whole.min() >= 0
    assert whole.max() <= 1


def test_crops_are_resized_to_the_size_that_is_asked_for():
    out = augmentation("imagenet", size=32)(images(), torch.Generator().manual_seed(0))
    assert out.shape == (N, 3, 32, 32)
