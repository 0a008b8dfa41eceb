"""Decoding: every kind of image file becomes RGB in the stated way, or says why not."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from robust_transfer.images.decode import BadImageError, decode, upright_size


def encoded(image, kind, **how):
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def decoded(image, kind="PNG", **how):
    result = decode(encoded(image, kind, **how))
    assert result.mode == "RGB"
    return np.asarray(result)


@pytest.fixture
def rgb():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))


def test_rgb_is_returned_as_it_is(rgb):
    np.testing.assert_array_equal(decoded(rgb), np.asarray(rgb))


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_greyscale_palette_and_black_and_white_become_rgb(rgb, mode):
    image = rgb.convert(mode)
    np.testing.assert_array_equal(decoded(image), np.asarray(image.convert("RGB")))


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    assert decoded(image, "TIFF")[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_are_scaled_not_cut():
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert decoded(Image.fromarray(levels))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_floating_point_in_the_unit_range_fills_the_grey_levels():
    values = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    assert decoded(values, "TIFF")[0, :, 0].tolist() == [0, 128, 255]


def test_floating_point_beyond_the_unit_range_is_grey_levels():
    values = Image.fromarray(np.array([[-3, 7.4, 300]], np.float32))
    assert decoded(values, "TIFF")[0, :, 0].tolist() == [0, 7, 255]


def test_values_that_are_not_finite_are_refused():
    values = Image.fromarray(np.array([[np.nan, 1]], np.float32))
    with pytest.raises(BadImageError, match="finite"):
        decode(encoded(values, "TIFF"))


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    assert decoded(image)[0].tolist() == [[255] * 3, [127] * 3]


def test_a_transparent_palette_entry_is_laid_on_white():
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decoded(image, transparency=0)[0].tolist() == [[255] * 3, [40, 50, 60]]


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(animation))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, "ul"), (2, "ur"), (3, "lr"), (4, "ll"), (5, "ul"), (6, "ur"), (7, "lr"), (8, "ll")],
)
def test_exif_orientation_is_applied(orientation, corner):
    """The stored upper-left pixel ends in the corner that the EXIF standard says."""
    stored = Image.new("RGB", (4, 2), "black")
    stored.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(stored, exif=exif.tobytes())
    assert pixels.shape == ((2, 4, 3) if orientation < 5 else (4, 2, 3))
    row, column = (0 if corner[0] == "u" else -1), (0 if corner[1] == "l" else -1)
    assert pixels[row, column].tolist() == [255] * 3


def test_a_broken_exif_block_does_not_lose_the_image(rgb):
    broken = b"Exif\x00\x00II*\x00\xff\xff\xff\xff"
    np.testing.assert_array_equal(decoded(rgb, exif=broken), np.asarray(rgb))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(BadImageError):
        decode(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b"<html>404</html>", "no image"), (b"\x89PNG\r\n\x1a\n", "no image")],
)
def test_what_is_no_image_is_refused(content, reason):
    with pytest.raises(BadImageError, match=reason):
        decode(content)


def test_corrupt_bytes_never_raise_anything_else():
    """300 random corruptions of a PNG, a JPEG and a GIF: an image or a BadImageError."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    for kind in ("PNG", "JPEG", "GIF"):
        content = np.frombuffer(encoded(image, kind), np.uint8)
        for _ in range(100):
            broken = content.copy()
            places = rng.integers(0, len(broken), 8)
            broken[places] = rng.integers(0, 256, 8)
            with contextlib.suppress(BadImageError):
                assert decode(broken.tobytes()).mode == "RGB"


def test_one_pixel_and_a_very_long_image_decode(rgb):
    assert decoded(Image.new("RGB", (1, 1))).shape == (1, 1, 3)
    assert decoded(Image.new("L", (20000, 20))).shape == (20, 20000, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_size_that_is_read_alone_is_that_of_the_decoded_image(rgb, tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encoded(rgb, kind, exif=exif))
    image = decode(path.read_bytes())
    assert upright_size(path) == (image.height, image.width)


def test_a_size_cannot_be_read_from_what_is_no_image(tmp_path):
    path = tmp_path / "photo"
    with pytest.raises(FileNotFoundError):
        upright_size(path)
    for content in (b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(BadImageError, match="no image in a format"):
            upright_size(path)
