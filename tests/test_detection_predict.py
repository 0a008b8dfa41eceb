"""From detectors to detections: what is written is what the detector found, where it found it."""

import numpy as np
import pytest
import torch
from detection_subjects import SETTINGS, pretrained, toy_scenes
from robust_transfer.detection.average_precision import coco_matches, summary
from robust_transfer.detection.batches import SceneReader
from robust_transfer.detection.detections import load_detections, save_detections
from robust_transfer.detection.models import build_detector
from robust_transfer.detection.predict import detect
from robust_transfer.scenes.masks import decode
from torch import nn


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return toy_scenes(tmp_path_factory.mktemp("scenes"))


class Oracle(nn.Module):
    """Knows every object of the scenes that it is given; a mask is all of its box."""

    def __init__(self, cache, masks):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.cache, self.masks = cache, masks

    def forward(self, images):
        return [self.found(image) for image in images]

    def found(self, image):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        (index,) = (i for i in range(len(self.cache))
                    if np.array_equal(self.cache.image(i), pixels))  # fmt: skip
        objects = self.cache.objects(index)
        n = len(objects)
        found = {"boxes": torch.from_numpy(objects.boxes), "scores": torch.linspace(0.9, 0.5, n),
                 "classes": torch.from_numpy(objects.classes)}  # fmt: skip
        return found | ({"masks": torch.ones(n, 1, 28, 28)} if self.masks else {})


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_detector_that_knows_all_has_full_precision(cache, batch_size):
    found = detect(Oracle(cache, masks=False), cache, cache.split("test"), batch_size=batch_size)
    assert summary(coco_matches(cache, found))["AP"] == pytest.approx(1)
    assert np.array_equal(found.scored, cache.split("test"))
    assert (np.diff(found.images) >= 0).all()
    assert found.masks is None


def test_masks_are_pasted_where_their_boxes_are(cache):
    found = detect(Oracle(cache, masks=True), cache, np.arange(6))
    assert len(found.masks) == len(found)
    for row, mask in enumerate(decode(found.masks, (64, 64))):
        x0, y0, x1, y1 = found.boxes[row].astype(int)
        expected = np.zeros((64, 64), bool)
        expected[y0:y1, x0:x1] = True
        # torchvision counts a box's last pixel in: an edge may be a pixel further out.
        assert (mask ^ expected).sum() <= (x1 - x0) + (y1 - y0) + 1
        assert mask[y0:y1, x0:x1].all()


def test_detections_can_be_saved_and_read(cache, tmp_path):
    settings = SETTINGS | {"classes": len(cache.classes), "score_threshold": 0.0}
    built = build_detector(pretrained("resnet_small_w4"), model="mask_rcnn_small", **settings)
    found = detect(built, cache, cache.split("test")[::-1])
    save_detections(tmp_path / "found.npz", found)
    again = load_detections(tmp_path / "found.npz")
    assert len(again) == 10 * len(cache.split("test"))
    assert again.masks == found.masks
    assert again.boxes.min() >= 0
    assert again.boxes.max() <= 64
    assert set(again.classes) <= set(range(len(cache.classes)))
    assert not built.training


def test_where_nothing_is_found_the_images_still_count_as_scored(cache):
    settings = SETTINGS | {"classes": len(cache.classes), "score_threshold": 0.99}
    built = build_detector(pretrained("resnet_small_w4"), model="mask_rcnn_small", **settings)
    found = detect(built, cache, np.arange(3))
    assert (len(found), found.masks, found.boxes.shape) == (0, (), (0, 4))
    assert np.array_equal(found.scored, np.arange(3))


def test_a_mirrored_scene_has_its_boxes_tight_around_its_mirrored_masks(cache):
    reader = SceneReader(cache, masks=True)
    for index in range(len(cache)):
        image, target = reader.scene(index, True)
        plain, as_stored = reader.scene(index, False)
        assert torch.equal(image, plain.flip(2))
        assert torch.equal(target["classes"], as_stored["classes"])
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            y, x = mask.nonzero(as_tuple=True)
            tight = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
            assert box.tolist() == tight


def test_crowds_and_difficult_objects_are_left_out_of_training(cache):
    columns = {name: value.copy() for name, value in cache.columns.items()}
    columns["crowd"][::3] = True
    columns["difficult"][1::3] = True
    object.__setattr__(changed := type(cache)(**vars(cache)), "columns", columns)
    kept = np.flatnonzero(~(columns["crowd"] | columns["difficult"]))
    reader = SceneReader(changed, masks=True)
    targets = [reader.scene(index, False)[1] for index in range(len(cache))]
    assert np.array_equal(torch.cat([each["boxes"] for each in targets]), columns["boxes"][kept])
    assert np.array_equal(torch.cat([each["classes"] for each in targets]),
                          columns["classes"][kept])  # fmt: skip
    assert sum(len(each["masks"]) for each in targets) == len(kept)
