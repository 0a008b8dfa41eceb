"""Detectors on pretrained backbones: torchvision's own, and narrow ones for small scenes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.detection.detector import Detector, SceneTransform, outputs_in_float32
from robust_transfer.detection.pyramid import Pyramid
from robust_transfer.detection.stages import MOST_STAGES, Body, body_of
from robust_transfer.errors import ConfigError, did_you_mean
from robust_transfer.training.randomness import derived_seed

PYRAMID = 256  # channels of every level (Lin et al. 2017, arXiv:1612.03144)
HEADS = ("head", "rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor")
TWO_STAGE_LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")


@dataclass(frozen=True)
class Outputs:
    """What a detector is to give.

    Attributes:
        classes: of objects; a two-stage network has one more, the background.
        score_threshold: what scores less is no detection, in [0, 1].
        detections_per_image: at most, the best.
    """

    classes: int
    score_threshold: float
    detections_per_image: int

    @property
    def of_boxes(self) -> dict[str, Any]:
        """As arguments of a two-stage network."""
        return {
            "box_score_thresh": self.score_threshold,
            "box_detections_per_img": self.detections_per_image,
        }


def _faster_rcnn(body: Body, outputs: Outputs) -> nn.Module:
    """Ren et al. 2015 (arXiv:1506.01497) with a pyramid, as fasterrcnn_resnet50_fpn."""
    pyramid = Pyramid(body, minimum_stride=1, channels=PYRAMID, extra=LastLevelMaxPool())
    return FasterRCNN(
        pyramid,
        outputs.classes + 1,
        rpn_anchor_generator=pyramid.anchors(8),
        box_roi_pool=pyramid.regions(7),
        **outputs.of_boxes,
    )


def _mask_rcnn(body: Body, outputs: Outputs) -> nn.Module:
    """He et al. 2017 (arXiv:1703.06870), as maskrcnn_resnet50_fpn."""
    pyramid = Pyramid(body, minimum_stride=1, channels=PYRAMID, extra=LastLevelMaxPool())
    return MaskRCNN(
        pyramid,
        outputs.classes + 1,
        rpn_anchor_generator=pyramid.anchors(8),
        box_roi_pool=pyramid.regions(7),
        mask_roi_pool=pyramid.regions(14),
        **outputs.of_boxes,
    )


def _retinanet(body: Body, outputs: Outputs) -> nn.Module:
    """Lin et al. 2017 (arXiv:1708.02002), as retinanet_resnet50_fpn."""
    extra = LastLevelP6P7(PYRAMID, PYRAMID)
    finest = body.stages[1].stride
    pyramid = Pyramid(body, minimum_stride=finest, channels=PYRAMID, extra=extra)
    return RetinaNet(
        pyramid,
        outputs.classes,
        anchor_generator=pyramid.anchors(4, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)),
        score_thresh=outputs.score_threshold,
        detections_per_img=outputs.detections_per_image,
    )


# The small ones: the cost of a step on one CPU core lies in the finest level and in the regions.
SMALL_PYRAMID, SMALL_STRIDE, SMALL_REGION, SMALL_HEAD, SMALL_REGIONS = 64, 4, 5, 128, 16
SMALL_MASK_LAYERS = (32, 32)


def _small_parts(pyramid: Pyramid, outputs: Outputs) -> dict[str, Any]:
    """Return the arguments that make a two-stage network small."""
    return {
        "rpn_anchor_generator": pyramid.anchors(5, 7),
        "rpn_pre_nms_top_n_train": 100,
        "rpn_pre_nms_top_n_test": 100,
        "rpn_post_nms_top_n_train": 100,
        "rpn_post_nms_top_n_test": 50,
        "rpn_batch_size_per_image": 64,
        "box_roi_pool": pyramid.regions(SMALL_REGION, samples=1),
        "box_head": TwoMLPHead(SMALL_PYRAMID * SMALL_REGION**2, SMALL_HEAD),
        "box_predictor": FastRCNNPredictor(SMALL_HEAD, outputs.classes + 1),
        "box_batch_size_per_image": SMALL_REGIONS,
    } | outputs.of_boxes


def _faster_rcnn_small(body: Body, outputs: Outputs) -> nn.Module:
    """Faster R-CNN for scenes of 96 to 160 pixels."""
    pyramid = _small_pyramid(body)
    return FasterRCNN(pyramid, **_small_parts(pyramid, outputs))


def _mask_rcnn_small(body: Body, outputs: Outputs) -> nn.Module:
    """Mask R-CNN for scenes of 96 to 160 pixels."""
    pyramid = _small_pyramid(body)
    return MaskRCNN(
        pyramid,
        mask_roi_pool=pyramid.regions(14, samples=1),
        mask_head=MaskRCNNHeads(SMALL_PYRAMID, SMALL_MASK_LAYERS, 1),
        mask_predictor=OneMask(SMALL_MASK_LAYERS[-1], outputs.classes + 1),
        **_small_parts(pyramid, outputs),
    )


class OneMask(MaskRCNNPredictor):
    """Predicts one mask whatever the class, so that each object teaches all of it.

    Nearly as good as a mask for each class (He et al. 2017, section 4.2), and learned in fewer
    steps.

    Args:
        channels: of the features of a region.
        labels: of the network, with the background.
    """

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__(channels, channels, 1)
        self.labels = labels

    def forward(self, regions: Tensor) -> Tensor:
        """Map (n, channels, m, m) to logits (n, labels, 2m, 2m), the same for each label."""
        return super().forward(regions).expand(-1, self.labels, -1, -1)


def _small_pyramid(body: Body) -> Pyramid:
    extra = LastLevelMaxPool()
    return Pyramid(body, minimum_stride=SMALL_STRIDE, channels=SMALL_PYRAMID, extra=extra)


_BUILD: dict[str, Callable[[Body, Outputs], nn.Module]] = {
    "faster_rcnn": _faster_rcnn,
    "retinanet": _retinanet,
    "mask_rcnn": _mask_rcnn,
    "faster_rcnn_small": _faster_rcnn_small,
    "mask_rcnn_small": _mask_rcnn_small,
}
DETECTORS = frozenset(_BUILD)


def build_detector(
    backbone: Backbone,
    *,
    model: str,
    classes: int,
    train_sizes: list[int],
    test_size: int,
    max_size: int,
    trainable_stages: int,
    batch_norm: str,
    score_threshold: float,
    detections_per_image: int,
    seed: int,
) -> Detector:
    """Put a new detection head on a pretrained backbone; its normalisation stays.

    Args:
        backbone: of the ResNet family; it is copied, not changed.
        model: one of `DETECTORS`.
        classes: of objects.
        train_sizes: shorter sides, pixels, of which training draws one an image.
        test_size: shorter side of detection, pixels.
        max_size: the longer side is never more, pixels.
        trainable_stages: how many stages, from the deepest, are trained with the head; 0: none; 5:
            all, and the stem. The others stay as they are, BatchNorm statistics too.
        batch_norm: `frozen`: all of the backbone's BatchNorm stays as pretrained, as in He et al.
            2016 (arXiv:1512.03385), appendix A; or `train`.
        score_threshold: what scores less is no detection, in [0, 1].
        detections_per_image: at most, the best.
        seed: of the new head.

    Returns:
        The detector, on the CPU, in training mode.

    Raises:
        ConfigError: a backbone of another family, or a value that is not allowed.
    """
    _check(model, trainable_stages, batch_norm)
    body = body_of(backbone).requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "detection head"))
        network = _BUILD[model](body, Outputs(classes, score_threshold, detections_per_image))
    network.transform = SceneTransform(
        train_sizes=train_sizes,
        test_size=test_size,
        max_size=max_size,
        mean=backbone.mean.flatten().tolist(),
        std=backbone.std.flatten().tolist(),
        # As torchvision; but a map must have as many positions as strides fit, whatever the stride.
        size_divisible=math.lcm(32, body.stages[-1].stride),
    )
    frozen = body.frozen_parts(trainable_stages)
    if batch_norm == "frozen":
        frozen += [each for each in body.modules() if isinstance(each, nn.BatchNorm2d)]
    return _as_detector(network, frozen)


def _as_detector(network: nn.Module, frozen: list[nn.Module]) -> Detector:
    """Wrap a network of torchvision."""
    masks, two_stage = isinstance(network, MaskRCNN), isinstance(network, FasterRCNN)
    for name, module in network.named_modules():
        if name in HEADS:
            outputs_in_float32(module)
    names = TWO_STAGE_LOSSES if two_stage else ("classification", "bbox_regression")
    detector = Detector(
        network,
        frozen=frozen,
        loss_names=(*names, *(["loss_mask"] if masks else [])),
        first_label=int(two_stage),
        masks=masks,
    )
    return detector.to(memory_format=torch.channels_last)


def _check(model: str, trainable_stages: int, batch_norm: str) -> None:
    if model not in DETECTORS:
        raise ConfigError(
            f"detect.detectors: unknown detector '{model}'. Choose of "
            f"{', '.join(sorted(DETECTORS))}." + did_you_mean(model, DETECTORS)
        )
    if trainable_stages not in range(MOST_STAGES + 1):
        raise ConfigError(
            f"detect.trainable_stages: {trainable_stages} is out of range. Allowed are 0 (the head "
            f"alone is trained) to {MOST_STAGES} (everything), counted from the deepest stage."
        )
    if batch_norm not in ("frozen", "train"):
        raise ConfigError(
            f"detect.batch_norm: '{batch_norm}' is not allowed. Choose frozen or train."
            + did_you_mean(batch_norm, ("frozen", "train"))
        )
