"""Rendering toy scenes: several characters on one background, each with its visible pixels."""

import functools
import zlib
from dataclasses import dataclass

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.toy_world.alphabets import characters
from robust_transfer.toy_world.backgrounds import smooth_noise
from robust_transfer.toy_world.colours import draw_ink, draw_paper
from robust_transfer.toy_world.glyphs import FACES, glyph_mask
from robust_transfer.toy_world.gratings import grating_patterns
from robust_transfer.toy_world.render import MARGIN, NOISE, TURN

CAPITAL = 0.58  # height of an upright capital, as a share of the canvas that it is drawn on
_INK = 128  # a pixel belongs to a character from half ink on
_LAYOUTS = 64  # layouts drawn for a scene; the first with the least overlap is taken
_ROOM = 0.6  # largest share of the scene that its objects may need, each a square


@dataclass(frozen=True)
class SceneRecipe:
    """What decides a toy scene, but its split and its place there.

    Attributes:
        alphabet: one of `alphabets.ALPHABETS`: each character is a class.
        size: pixels a side of the scene.
        objects: at most so many a scene; at least one, every number equally often.
        object_size: smallest and largest height of an upright capital, pixels.
        seed: of all draws.
        grating: L2 norm of the stripes added over the box of each object, the image in [0, 1];
            0: none.
    """

    alphabet: str
    size: int
    objects: int
    object_size: tuple[int, int]
    seed: int
    grating: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The characters, sorted."""
        return characters(self.alphabet)

    def check(self) -> None:
        """Raise DataError where such scenes cannot be rendered."""
        classes = len(self.classes)
        smallest, largest = self.object_size
        where = f"toy scenes '{self.alphabet}'"
        if self.objects < 1:
            raise DataError(f"{where}, objects: {self.objects} a scene. Ask for 1 or more.")
        if not 8 <= smallest <= largest:
            raise DataError(
                f"{where}, object_size: [{smallest}, {largest}]. Give the smallest height, at "
                "least 8 pixels, and then the largest."
            )
        if self.objects * largest**2 > _ROOM * self.size**2 or 2 * largest > self.size:
            raise DataError(
                f"{where}, size: {self.size} pixels a side have no room for {self.objects} objects "
                f"of {largest} pixels.\n  Use a larger size, or fewer or smaller objects."
            )
        if self.grating:
            _patterns(classes, _canvas(smallest))


@dataclass(frozen=True, eq=False)
class ToyScene:
    """One scene.

    Attributes:
        image: (size, size, 3) uint8.
        masks: (k, size, size) bool: the visible pixels of each object; none is empty.
        labels: (k,) int64, positions in the classes of the recipe.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray


def render_scene(recipe: SceneRecipe, split: int, index: int) -> ToyScene:
    """Render one scene: the same arguments, the same bytes, whatever else is rendered.

    Args:
        recipe: as `SceneRecipe.check` accepts it.
        split: 0: train, 1: test. Two splits are different draws of the same recipe.
        index: place in the split.

    Raises:
        DataError: an object lies hidden behind others; only a crowded recipe has such scenes.
    """
    key = (zlib.crc32(f"scenes {recipe.alphabet}".encode()), recipe.seed, split)
    labels = _deal(key, index, recipe.objects, len(recipe.classes))
    rng = np.random.default_rng([*key, 2, index])
    paper = draw_paper(rng, 1)
    ink = draw_ink(rng, np.repeat(paper, len(labels), axis=0))
    glyphs = [_draw_glyph(rng, recipe, label) for label in labels]
    corners = _layout(rng, np.array([glyph.ink.shape for glyph in glyphs]), recipe.size)
    image = paper + smooth_noise(rng, 1, recipe.size)[0] * np.float32(NOISE)
    masks = np.zeros((len(labels), recipe.size, recipe.size), bool)
    windows = []
    for place, (glyph, (y, x)) in enumerate(zip(glyphs, corners, strict=True)):
        height, width = glyph.ink.shape
        window = np.s_[y : y + height, x : x + width]
        image[window] += glyph.ink[..., None] * (ink[place] - image[window])
        solid = glyph.ink >= _INK / 255
        masks[:place, *window] &= ~solid  # what is drawn later lies in front
        masks[place, *window] = solid
        windows.append(window)
    np.clip(image, MARGIN, 1 - MARGIN, out=image)
    for window, glyph in zip(windows, glyphs, strict=True):
        image[window] += np.float32(recipe.grating) * glyph.stripes
    np.clip(image, 0, 1, out=image)
    if not masks.any(axis=(1, 2)).all():
        raise DataError(
            f"toy scenes '{recipe.alphabet}', image {index}: an object lies hidden behind others.\n"
            "  Use a larger size, or fewer or smaller objects."
        )
    dither = rng.random(image.shape, dtype=np.float32)
    return ToyScene(np.minimum(image * 255 + dither, 255).astype(np.uint8), masks, labels)


def _deal(key: tuple[int, ...], index: int, most: int, classes: int) -> np.ndarray:
    """Return the labels of one scene, computed without those of the scenes before it.

    The numbers of objects are dealt from shuffled decks of 1 .. `most`, so that `most` scenes
    hold `most` (`most` + 1) / 2 objects; classes are dealt to the objects from decks of their own.
    """
    group, place = divmod(index, most)
    counts = np.random.default_rng([*key, 0, group]).permutation(most) + 1
    first = group * (most * (most + 1) // 2) + int(counts[:place].sum())
    labels = []
    for number in range(first, first + int(counts[place])):
        deck, card = divmod(number, classes)
        labels.append(np.random.default_rng([*key, 1, deck]).permutation(classes)[card])
    return np.array(labels, np.int64)


@dataclass(frozen=True, eq=False)
class _Glyph:
    """A character cut out of its canvas: `ink` (h, w) float32 in [0, 1], `stripes` (h, w, 3)."""

    ink: np.ndarray
    stripes: np.ndarray


def _draw_glyph(rng: np.random.Generator, recipe: SceneRecipe, label: int) -> _Glyph:
    """Draw one character in a random face, size and turn, cut to the pixels that have ink."""
    side = _canvas(int(rng.integers(recipe.object_size[0], recipe.object_size[1] + 1)))
    face = FACES[rng.integers(len(FACES))]
    angle, *shift = rng.uniform(-1, 1, 3)
    mask = glyph_mask(
        recipe.classes[label],
        face,
        size=side,
        angle=float(angle * TURN),
        scale=1.0,
        shift=(float(shift[0] / 2), float(shift[1] / 2)),
    )
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = mask[cut].astype(np.float32) / 255
    stripes = np.zeros((*ink.shape, 3), np.float32)
    if recipe.grating:
        stripes = _patterns(len(recipe.classes), side)[label][cut]
        stripes = stripes / np.sqrt((stripes.astype(np.float64) ** 2).sum()).astype(np.float32)
    return _Glyph(ink, stripes)


def _canvas(height: int) -> int:
    """Return the side of the canvas on which a capital is so many pixels high."""
    return round(height / CAPITAL)


@functools.cache
def _patterns(classes: int, side: int) -> np.ndarray:
    """Keep the gratings of one canvas: (classes, side, side, 3) float32."""
    return grating_patterns(classes, side)


def _layout(rng: np.random.Generator, shapes: np.ndarray, size: int) -> np.ndarray:
    """Draw where objects go: of many layouts the first with the least overlap of boxes.

    Args:
        rng: source of randomness.
        shapes: (k, 2) heights and widths.
        size: pixels a side of the scene.

    Returns:
        (k, 2) int64: y and x of the upper left corners; every box lies inside.
    """
    corners = rng.integers(0, size - shapes + 1, (_LAYOUTS, *shapes.shape))
    far = corners + shapes
    first, second = np.triu_indices(len(shapes), k=1)
    shared = np.minimum(far[:, first], far[:, second])
    shared -= np.maximum(corners[:, first], corners[:, second])
    overlap = shared.clip(min=0).prod(axis=2).sum(axis=1)
    return corners[overlap.argmin()]
