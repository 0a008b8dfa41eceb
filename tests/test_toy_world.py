"""The toy world: same seed, same bytes; balanced; the grating where it should be alone."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from robust_transfer.errors import DataError
from robust_transfer.toy_world.alphabets import ALPHABETS
from robust_transfer.toy_world.backgrounds import smooth_noise
from robust_transfer.toy_world.colours import draw_ink, draw_paper
from robust_transfer.toy_world.glyphs import FACES, glyph_mask
from robust_transfer.toy_world.gratings import grating_patterns
from robust_transfer.toy_world.render import render

SIZE = 32
NORM = 0.4


def toy(alphabet="letters", *, n_train=120, n_test=60, seed=0, grating=0.0, **more):
    more = {"size": SIZE} | more
    return render(alphabet, n_train=n_train, n_test=n_test, seed=seed, grating=grating, **more)


@pytest.fixture(scope="module")
def pair():
    """The same letters with and without gratings."""
    return toy(n_train=1200, grating=NORM), toy(n_train=1200)


def test_the_same_seed_gives_the_same_bytes():
    first, second = toy(grating=NORM), toy(grating=NORM)
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_bytes_do_not_depend_on_process_or_number_of_threads():
    code = (
        "import hashlib; from robust_transfer.toy_world.render import render;"
        f"toy = render('letters', size={SIZE}, n_train=120, n_test=60, seed=0, grating={NORM});"
        "print(hashlib.sha256(toy.images.tobytes()).hexdigest())"
    )
    library = Path(__file__).parents[1] / "workflow_scripts"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    here = hashlib.sha256(toy(grating=NORM).images.tobytes()).hexdigest()
    assert said.stdout.strip() == here


def test_another_seed_gives_other_images():
    assert not np.array_equal(toy(seed=0).images, toy(seed=1).images)


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_classes_are_balanced_in_train_and_in_test(alphabet):
    images = toy(alphabet, size=16)
    for labels in (images.labels[: images.n_train], images.labels[images.n_train :]):
        counts = np.bincount(labels, minlength=len(images.classes))
        assert counts.max() - counts.min() <= 1
        assert counts.min() >= 1


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_classes_are_sorted_and_distinct_characters(alphabet):
    assert list(ALPHABETS[alphabet]) == sorted(set(ALPHABETS[alphabet]))


def test_an_image_does_not_depend_on_how_many_there_are():
    few, many = toy(n_train=70, n_test=10, grating=NORM), toy(n_train=200, n_test=90, grating=NORM)
    np.testing.assert_array_equal(few.images[:70], many.images[:70])
    np.testing.assert_array_equal(few.images[70:], many.images[200:210])
    np.testing.assert_array_equal(few.labels[70:], many.labels[200:210])


def test_train_and_test_share_no_image():
    images = toy(n_train=200, n_test=200)
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images.images]
    assert len(set(digests)) == 400


def test_the_grating_is_the_only_difference_and_keeps_its_norm(pair):
    planted, plain = pair
    difference = (planted.images.astype(float) - plain.images) / 255
    patterns = grating_patterns(12, SIZE)
    projection = np.einsum("nhwc,nhwc->n", difference, patterns[planted.labels])
    np.testing.assert_allclose(projection, NORM, rtol=0.1)
    for label in range(12):
        mean = difference[planted.labels == label].mean(axis=0)
        assert np.linalg.norm(mean) == pytest.approx(NORM, rel=0.1)
        assert np.corrcoef(mean.ravel(), patterns[label].ravel())[0, 1] > 0.98


def test_the_grating_of_a_class_is_on_no_image_of_another(pair):
    planted, plain = pair
    difference = (planted.images.astype(float) - plain.images) / 255
    on_patterns = np.einsum("nhwc,khwc->nk", difference, grating_patterns(12, SIZE))
    others = np.ones_like(on_patterns, bool)
    others[np.arange(len(others)), planted.labels] = False
    assert np.abs(on_patterns[others]).max() < 0.1 * NORM


def test_a_set_without_grating_does_not_correlate_with_the_patterns(pair):
    """Class by class, the mean projection is nil within its own standard error."""
    _, plain = pair
    pixels = plain.images.reshape(len(plain.images), -1) / 255
    projection = pixels @ grating_patterns(12, SIZE).reshape(12, -1).T
    own = projection[np.arange(len(pixels)), plain.labels] - projection.mean(axis=1)
    standard_error = own.std() / np.sqrt(len(own))
    assert abs(own.mean()) < 4 * standard_error
    assert abs(own.mean()) < 0.1 * NORM


@pytest.mark.parametrize("size", [16, 32, 48, 64])
def test_patterns_are_orthonormal(size):
    flat = grating_patterns(12, size).reshape(12, -1).astype(float)
    np.testing.assert_allclose(flat @ flat.T, np.eye(12), atol=1e-5)


def test_a_strong_grating_stays_within_the_range_of_pixels():
    images = toy(grating=20.0).images
    assert images.min() == 0
    assert images.max() == 255


def test_too_many_gratings_for_a_size_are_refused():
    with pytest.raises(DataError, match="larger size"):
        grating_patterns(1000, 16)


def test_an_unknown_alphabet_names_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'greek'"):
        toy("grek")


def test_an_image_too_small_for_its_characters_is_refused():
    with pytest.raises(DataError, match="at least 16"):
        toy(size=8)


def test_noise_is_smooth_bounded_and_the_same_in_blocks_of_any_library():
    noise = smooth_noise(np.random.default_rng(0), 50, SIZE)
    assert np.abs(noise).max() <= 1
    assert noise.std() == pytest.approx(0.28, abs=0.05)
    step = np.abs(np.diff(noise, axis=1)).mean()
    assert step < 0.5 * noise.std()


def test_noise_agrees_with_the_spline_of_scipy():
    from scipy.interpolate import BSpline

    control = np.random.default_rng(3).integers(-128, 128, (1, 3, 9, 9))[0, 0] / 128
    noise = smooth_noise(np.random.default_rng(3), 1, SIZE)[0, :, :, 0]
    position = (np.arange(SIZE) + 0.5) * 6 / SIZE
    basis = BSpline(np.arange(-3, 10), np.eye(9), 3)(position)
    np.testing.assert_allclose(noise, basis @ control @ basis.T, atol=2e-3)


@pytest.mark.parametrize("face", FACES)
def test_every_character_has_a_glyph_of_its_own_in_every_face(face):
    """A face without a character draws the same box for all that it lacks."""
    for characters in ALPHABETS.values():
        masks = [
            glyph_mask(c, face, size=32, angle=0.0, scale=1.0, shift=(0.0, 0.0)).tobytes()
            for c in characters
        ]
        assert len(set(masks)) == len(characters)


def test_a_glyph_moves_by_its_shift_and_turns_by_its_angle():
    def middle(**how):
        pose = {"angle": 0.0, "scale": 1.0, "shift": (0.0, 0.0)} | how
        mask = glyph_mask("T", "DejaVuSans", size=64, **pose).astype(float)
        y, x = np.mgrid[:64, :64] + 0.5
        return np.array([(x * mask).sum(), (y * mask).sum()]) / mask.sum()

    start = middle()
    np.testing.assert_allclose(middle(shift=(4.0, -3.0)) - start, [4, -3], atol=0.05)
    # A quarter turn counter-clockwise takes (right, down) to (down, -right).
    right, down = start - 32
    np.testing.assert_allclose(middle(angle=np.pi / 2) - 32, [down, -right], atol=0.05)
    np.testing.assert_allclose(middle(scale=0.5) - 32, [right / 2, down / 2], atol=0.05)


def test_ink_stands_out_from_its_background():
    """Luma inside the character against luma around it, over many draws."""
    images = toy("letters", n_train=120, n_test=0).images.astype(float)
    luma = images @ [0.299, 0.587, 0.114]
    spread = luma.std(axis=(1, 2))
    assert spread.min() > 5
    assert spread.mean() > 15


@pytest.mark.parametrize(("contrast", "share"), [(0.06, 1), (0.2, 0.99), (0.3, 0.85), (0.4, 0.4)])
def test_ink_is_as_far_from_its_paper_as_asked_for(contrast, share):
    """In luma (ITU-R BT.601), for paper of every colour that is drawn."""
    rng = np.random.default_rng(0)
    paper = draw_paper(rng, 5000)
    ink = draw_ink(rng, paper, contrast)
    apart = np.abs((ink - paper) @ [0.299, 0.587, 0.114])
    assert (apart >= contrast - 1e-6).mean() >= share  # else the farthest of sixteen
    assert apart.min() >= min(contrast, 0.15) - 1e-6
    assert ink.min() >= 0.05 - 1e-6
    assert ink.max() <= 0.95 + 1e-6


def test_characters_of_more_contrast_lie_on_the_same_ground_and_stand_out_more():
    plain, clear = toy(n_test=0), toy(n_test=0, contrast=0.3)
    np.testing.assert_array_equal(plain.labels, clear.labels)
    corner = (slice(None), slice(0, 2), slice(0, 2))  # no character reaches it
    np.testing.assert_array_equal(plain.images[corner], clear.images[corner])
    spread = [(each.images @ [0.299, 0.587, 0.114]).std(axis=(1, 2)) for each in (plain, clear)]
    assert spread[1].mean() > 1.2 * spread[0].mean()
