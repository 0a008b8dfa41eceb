"""Scenes as a detector trains on them: pixels, boxes, classes and masks; mirrored at random."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robust_transfer.detection.detector import Target
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.masks import decode
from robust_transfer.training.pixels import as_pixels
from robust_transfer.training.pool import read_ahead
from robust_transfer.training.randomness import derived_generator

Scenes = tuple[list[Tensor], list[Target]]


@dataclass(frozen=True)
class SceneReader:
    """Reads batches of scenes; crowds and difficult objects are left out.

    Attributes:
        cache: where they lie.
        masks: whether masks are wanted.
    """

    cache: SceneCache
    masks: bool

    def __getitem__(self, question: tuple[np.ndarray, np.ndarray]) -> Scenes:
        """Return the scenes at some positions of the cache, some of them mirrored.

        Args:
            question: positions (n,) int64, and which to mirror (n,) bool.
        """
        pairs = [self.scene(int(index), bool(flip)) for index, flip in zip(*question, strict=True)]
        return [image for image, _ in pairs], [target for _, target in pairs]

    def scene(self, index: int, flip: bool) -> tuple[Tensor, Target]:
        """Return one image, (3, height, width) uint8, and its objects."""
        image = np.array(self.cache.image(index))
        objects = self.cache.objects(index)
        kept = np.flatnonzero(~(objects.crowd | objects.difficult))
        boxes, classes = np.array(objects.boxes[kept]), np.array(objects.classes[kept])
        if flip:
            image = np.ascontiguousarray(image[:, ::-1])
            boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
        target = {
            "boxes": torch.from_numpy(boxes.astype(np.float32).reshape(-1, 4)),
            "classes": torch.from_numpy(classes.astype(np.int64)),
        }
        if self.masks:
            assert objects.masks is not None
            masks = decode(tuple(objects.masks[each] for each in kept), image.shape[:2])
            masks = np.ascontiguousarray(masks[..., ::-1] if flip else masks)
            target["masks"] = torch.from_numpy(masks.astype(np.uint8))
        return torch.from_numpy(image).permute(2, 0, 1), target


def scene_batches(
    reader: SceneReader,
    positions: Iterator[tuple[np.ndarray, np.ndarray]],
    *,
    workers: int,
    device: torch.device,
) -> Iterator[Scenes]:
    """Yield batches on a device, with pixels in [0, 1].

    Args:
        reader: of the scenes.
        positions: of each batch, and which to mirror.
        workers: processes that read ahead; 0: this one reads.
        device: where to.
    """
    for images, targets in read_ahead(reader, positions, workers=workers, device=device):
        moved = [as_pixels(each.to(device, non_blocking=True)) for each in images]
        yield (
            moved,
            [
                {name: value.to(device, non_blocking=True) for name, value in target.items()}
                for target in targets
            ],
        )


def flips(n: int, step: int, seed: int) -> Tensor:
    """Draw which of the `n` scenes of a step are mirrored: half of them, on average; (n,) bool."""
    return torch.rand(n, generator=derived_generator(seed, "flip", step)) < 0.5
