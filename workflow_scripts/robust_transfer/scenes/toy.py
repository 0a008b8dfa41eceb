"""Toy scenes: rendered image by image, with nothing to download."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from robust_transfer.images.listing import Listing
from robust_transfer.images.stream import PixelStream
from robust_transfer.images.write import Entry
from robust_transfer.scenes.masks import encode
from robust_transfer.scenes.objects import Objects
from robust_transfer.scenes.write import Described
from robust_transfer.toy_world.scenes import SceneRecipe, ToyScene, render_scene


class ToyScenes:
    """The toy scenes of one definition.

    Args:
        definition: `name`, `alphabet`, `size`, `objects`, `object_size`, `n_train`, `n_test`,
            `seed` and `grating`.

    Raises:
        DataError: such scenes cannot be rendered.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        smallest, largest = definition["object_size"]
        keys = ("alphabet", "size", "objects", "seed", "grating")
        given = {key: definition[key] for key in keys}
        self.recipe = SceneRecipe(object_size=(smallest, largest), **given)
        self.recipe.check()
        self.counts = (int(definition["n_train"]), int(definition["n_test"]))

    def described(self, told: dict[str, Any]) -> Described:
        """Return what the writer of a cache needs to know; `told` goes into the manifest."""
        total = sum(self.counts)
        images = Listing(
            classes=(),
            labels=np.zeros(total, np.int64),
            n_train=self.counts[0],
            source=f"toy scenes of {self.recipe.alphabet}, rendered from seed {self.recipe.seed}",
        )
        return Described(images, self.recipe.classes, ("",) * total, {}, True, (), told)

    def fill(self, stream: PixelStream) -> Iterator[tuple[Entry, Objects]]:
        """Render all scenes, training scenes first, and append them to a stream."""
        position = 0
        for split, count in enumerate(self.counts):
            for index in range(count):
                scene = render_scene(self.recipe, split, index)
                stream.append(scene.image)
                digest = hashlib.sha256(scene.image.tobytes()).hexdigest()
                shape = (scene.image.shape[0], scene.image.shape[1])
                yield Entry(position, digest, shape), toy_objects(scene)
                position += 1


def toy_objects(scene: ToyScene) -> Objects:
    """Return the objects of a toy scene: boxes tight around the visible pixels."""
    count = len(scene.labels)
    return Objects(
        boxes=np.array([_tight_box(mask) for mask in scene.masks], np.float32),
        classes=scene.labels,
        crowd=np.zeros(count, bool),
        difficult=np.zeros(count, bool),
        areas=scene.masks.sum(axis=(1, 2)).astype(np.float64),
        masks=encode(scene.masks),
    )


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box that holds all pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
