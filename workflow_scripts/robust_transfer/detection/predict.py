"""From a detector and scenes to detections."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from robust_transfer.detection.detections import Detections
from robust_transfer.detection.detector import Detector
from robust_transfer.progress import progress
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.scenes.masks import encode
from robust_transfer.training.pixels import as_pixels

MASK_THRESHOLD = 0.5  # He et al. 2017, arXiv:1703.06870, section 3.1
MASKS_AT_ONCE = 16  # pasted into whole images, in float32


@torch.no_grad()
def detect(
    detector: Detector, cache: SceneCache, positions: np.ndarray, *, batch_size: int = 8
) -> Detections:
    """Find the objects in scenes, in float32.

    Args:
        detector: on its device; it is left in eval mode.
        cache: the dataset.
        positions: of the images to look at.
        batch_size: images at once.

    Returns:
        Detections, sorted by image, best first; boxes in pixels of the stored images.
    """
    detector.eval()
    device = next(detector.parameters()).device
    order = np.unique(np.asarray(positions, np.int64))
    starts = range(0, len(order), batch_size)
    images: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {"boxes": [], "scores": [], "classes": []}
    masks: list[tuple[bytes, ...]] = []
    for start in progress(starts, total=len(starts), label="detect"):
        rows = order[start : start + batch_size]
        scenes = [_pixels(cache.image(int(row)), device) for row in rows]
        for row, scene, each in zip(rows, scenes, detector(scenes), strict=True):
            images.append(np.full(len(each["boxes"]), row, np.int64))
            for name, parts in found.items():
                parts.append(each[name].cpu().numpy())
            if detector.masks:
                masks.extend(_whole_masks(each["masks"], each["boxes"], scene.shape[1:]))
    return Detections(
        images=_joined(images, np.zeros(0, np.int64)),
        boxes=_joined(found["boxes"], np.zeros((0, 4), np.float32)),
        scores=_joined(found["scores"], np.zeros(0, np.float32)),
        classes=_joined(found["classes"], np.zeros(0, np.int64)),
        masks=tuple(itertools.chain.from_iterable(masks)) if detector.masks else None,
        scored=order,
    )


def _pixels(image: np.ndarray, device: torch.device) -> Tensor:
    return as_pixels(torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1))


def _whole_masks(masks: Tensor, boxes: Tensor, shape: torch.Size) -> Iterator[tuple[bytes, ...]]:
    """Yield the masks of whole images, a few at a time: one of 1,000 pixels takes 4 MB."""
    for part, its in zip(masks.split(MASKS_AT_ONCE), boxes.split(MASKS_AT_ONCE), strict=True):
        whole = paste_masks_in_image(part, its, (shape[0], shape[1]))
        yield encode((whole[:, 0] > MASK_THRESHOLD).cpu().numpy())


def _joined(parts: list[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    """Concatenate arrays of the type of `nothing`, which stands where there is no part."""
    return np.concatenate([nothing, *parts]).astype(nothing.dtype)
