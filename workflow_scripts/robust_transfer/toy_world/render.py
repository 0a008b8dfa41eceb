"""Rendering a toy dataset: characters, colours, background, grating."""

import zlib
from dataclasses import dataclass

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.toy_world.alphabets import characters
from robust_transfer.toy_world.backgrounds import smooth_noise
from robust_transfer.toy_world.colours import CONTRAST, draw_ink, draw_paper
from robust_transfer.toy_world.glyphs import FACES, glyph_mask
from robust_transfer.toy_world.gratings import grating_patterns

SMALLEST_SIZE = 16  # pixels a side; below, an accent is no longer a pixel
_BLOCK = 64  # images drawn together; part of the definition: another value, other images
NOISE = 0.2  # largest excursion of the background from its mean
MARGIN = 0.04  # distance kept from black and white: room for the grating
TURN = np.deg2rad(12)  # largest rotation either way
_MOVE = 1 / 10  # largest shift, as a share of the side
_ZOOM = 0.12  # largest change of scale


@dataclass(frozen=True, eq=False)
class ToyImages:
    """A rendered dataset; training images first.

    Attributes:
        images: (n, size, size, 3) uint8.
        labels: (n,) int64, positions in `classes`.
        classes: the characters, sorted.
        n_train: the first so many rows are the training split.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    n_train: int


def render(
    alphabet: str,
    *,
    size: int,
    n_train: int,
    n_test: int,
    seed: int,
    grating: float,
    contrast: float = CONTRAST,
) -> ToyImages:
    """Render a toy dataset: the same arguments, the same bytes.

    An image depends on alphabet, size, seed, split, its position in the split and the grating,
    not on how many images there are. The two splits are different draws of the same recipe.

    Args:
        alphabet: one of `alphabets.ALPHABETS`.
        size: pixels a side.
        n_train: training images, all classes together; classes are even to within one image.
        n_test: test images, likewise.
        seed: of characters, faces, colours, positions and noise.
        grating: L2 norm of the stripes added to every image of a class, over the image in
            [0, 1]; 0: none.
        contrast: difference in luma between a character and the mean of its background, in
            [0, 0.4], as `colours.draw_ink` has it.

    Returns:
        Images and labels, training rows first.

    Raises:
        DataError: unknown alphabet, or an image too small for its characters or gratings.
    """
    classes = characters(alphabet)
    if size < SMALLEST_SIZE:
        raise DataError(
            f"toy dataset '{alphabet}', size: {size} pixels a side is too small.\n"
            f"  Use at least {SMALLEST_SIZE}."
        )
    patterns = grating * grating_patterns(len(classes), size) if grating else None
    images = np.empty((n_train + n_test, size, size, 3), np.uint8)
    labels = np.empty(n_train + n_test, np.int64)
    for split, rows in enumerate((slice(0, n_train), slice(n_train, n_train + n_test))):
        key = (zlib.crc32(alphabet.encode()), seed, split)
        labels[rows] = _balanced_labels(key, rows.stop - rows.start, len(classes))
        for start in range(rows.start, rows.stop, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows.stop))
            rng = np.random.default_rng([*key, 1, (start - rows.start) // _BLOCK])
            images[block] = _render_block(rng, labels[block], classes, size, patterns, contrast)
    return ToyImages(images, labels, classes, n_train)


def _balanced_labels(key: tuple[int, ...], count: int, classes: int) -> np.ndarray:
    """Deal the classes like shuffled decks: every run of `classes` images holds each once."""
    rng = np.random.default_rng([*key, 0])
    decks = [rng.permutation(classes) for _ in range(-(-count // classes))]
    return np.concatenate(decks)[:count] if decks else np.empty(0, np.int64)


def _render_block(
    rng: np.random.Generator,
    labels: np.ndarray,
    classes: tuple[str, ...],
    size: int,
    patterns: np.ndarray | None,
    contrast: float,
) -> np.ndarray:
    """Render up to `_BLOCK` images: (n, size, size, 3) uint8.

    Draws are always made for a whole block, so that a shorter last block changes no image.
    """
    count = len(labels)
    masks = _masks(rng, labels, classes, size)[..., None].astype(np.float32) / 255
    paper = draw_paper(rng, _BLOCK)
    ink = draw_ink(rng, paper, contrast)[:, None, None]
    paper = paper[:, None, None]
    noise = smooth_noise(rng, _BLOCK, size)[:count] * np.float32(NOISE)
    dither = rng.random((_BLOCK, size, size, 3), dtype=np.float32)[:count]
    background = paper[:count] + noise
    images = background + masks * (ink[:count] - background)
    np.clip(images, MARGIN, 1 - MARGIN, out=images)
    if patterns is not None:
        images += patterns[labels]
        np.clip(images, 0, 1, out=images)
    # Rounded up or down at random, so that a pattern of a grey level or two survives on
    # average even where the image is flat. The same draws whatever the grating.
    return np.minimum(images * 255 + dither, 255).astype(np.uint8)


def _masks(
    rng: np.random.Generator, labels: np.ndarray, classes: tuple[str, ...], size: int
) -> np.ndarray:
    """Draw the characters of a block: (n, size, size) uint8."""
    faces = rng.integers(len(FACES), size=_BLOCK)
    angles = rng.uniform(-TURN, TURN, _BLOCK)
    scales = rng.uniform(1 - _ZOOM, 1 + _ZOOM, _BLOCK)
    shifts = rng.uniform(-_MOVE * size, _MOVE * size, (_BLOCK, 2))
    return np.stack(
        [
            glyph_mask(
                classes[label],
                FACES[faces[i]],
                size=size,
                angle=float(angles[i]),
                scale=float(scales[i]),
                shift=(float(shifts[i, 0]), float(shifts[i, 1])),
            )
            for i, label in enumerate(labels)
        ]
    )
