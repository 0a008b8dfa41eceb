"""Resizing: the same pixels as resize then crop, at any aspect ratio."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from robust_transfer.images.resize import (
    in_words,
    prepared,
    reduced_size,
    short_side_to,
    square,
)
from robust_transfer.training.squares import quick_square_array

SIZES = [(48, 48), (64, 48), (50, 75), (33, 32), (32, 101), (31, 32), (8, 8), (7, 301), (300, 9)]


def picture(width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def resized_then_cropped(image, side):
    """What torchvision's Resize(side) and CenterCrop(side) do to a PIL image, step by step."""
    width, height = image.size
    short, long = sorted((width, height))
    new_long = int(side * long / short)
    whole = image.resize(
        (side, new_long) if width <= height else (new_long, side), Image.Resampling.BILINEAR
    )
    left, top = round((whole.width - side) / 2), round((whole.height - side) / 2)
    return np.asarray(whole.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("size", SIZES)
def test_a_square_is_the_middle_of_the_whole_resized_image(size):
    image = picture(*size)
    expected = resized_then_cropped(image, 32).astype(int)
    # Filter weights of the part are computed from fractional bounds: one grey level of rounding.
    assert np.abs(np.asarray(square(image, 32)).astype(int) - expected).max() <= 1


@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 64))
def test_an_array_becomes_the_square_that_pillow_makes_to_within_two_grey_levels(
    width, height, side
):
    image = picture(width, height)
    ours = quick_square_array(np.asarray(image), side)
    assert ours.shape == (side, side, 3)
    assert np.abs(ours.astype(int) - resized_then_cropped(image, side)).max() <= 2


def test_most_pixels_of_a_photo_are_those_that_pillow_makes():
    smooth = picture(40, 30).resize((640, 480))
    apart = quick_square_array(np.asarray(smooth), 224) != resized_then_cropped(smooth, 224)
    assert apart.mean() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 20)])
def test_extreme_images_become_a_square(size):
    pixels = prepared(Image.new("RGB", size, (10, 20, 30)), "32", None)
    assert pixels.shape == (32, 32, 3)
    assert (pixels == [10, 20, 30]).all()


def test_an_image_of_the_right_size_is_untouched():
    image = picture(32, 32)
    np.testing.assert_array_equal(np.asarray(square(image, 32)), np.asarray(image))


def test_a_resize_down_is_antialiased():
    """A chessboard of single pixels is grey at a quarter of its size."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = Image.fromarray(np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    middle = np.asarray(square(image, 16))[2:-2, 2:-2]
    assert np.abs(middle.astype(int) - 127).max() <= 2


@pytest.mark.parametrize(("size", "expected"), [((100, 80), (80, 64)), ((80, 100), (64, 80))])
def test_native_images_keep_their_aspect_ratio(size, expected):
    pixels = prepared(picture(*size), "native", 64)
    assert pixels.shape[:2] == expected[::-1]


def test_native_images_are_never_enlarged_nor_changed_without_a_limit():
    image = picture(20, 30)
    np.testing.assert_array_equal(prepared(image, "native", 64), np.asarray(image))
    np.testing.assert_array_equal(prepared(image, "native", None), np.asarray(image))


def test_a_very_long_native_image_keeps_a_pixel_of_height():
    assert short_side_to(Image.new("RGB", (20000, 20)), 10).size == (10000, 10)


def test_words_tell_resolutions_apart():
    words = {in_words("32", None), in_words("native", None), in_words("native", 64)}
    assert len(words) == 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [1, 20, 48, 400])
def test_a_reduced_longer_side_keeps_the_proportions_to_half_a_pixel(size, side):
    reduced = reduced_size(*size, side)
    if side >= max(size):
        assert reduced == size
    else:
        assert max(reduced) == side
        shorter = min(size) * side / max(size)
        assert abs(min(reduced) - shorter) <= 0.5 or min(reduced) == 1
    made = prepared(picture(*size), "native", None, side)
    assert made.shape == (reduced[1], reduced[0], 3)
    assert reduced_size(*size, None) == size
