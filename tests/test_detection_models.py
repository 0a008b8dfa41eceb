"""Detectors: the backbone's features unchanged, frozen parts, five models on two families."""

import copy

import pytest
import torch
from detection_subjects import SETTINGS as COMMON
from detection_subjects import pretrained
from robust_transfer.detection.models import DETECTORS, build_detector
from robust_transfer.detection.pyramid import Anchors
from robust_transfer.errors import ConfigError
from torchvision.models.detection import (
    fasterrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    retinanet_resnet50_fpn,
)

FAMILIES = ("resnet_small_w4", "resnet18")
SETTINGS = COMMON | {"classes": 3}


def detector(architecture="resnet_small_w4", model="faster_rcnn_small", **changes):
    return build_detector(pretrained(architecture), model=model, **(SETTINGS | changes))


def scenes(*sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


def targets(images, masks=True):
    """One object an image, but none in the last."""
    found = []
    for image in images:
        mask = torch.zeros(1, *image.shape[1:], dtype=torch.uint8)
        mask[0, 8:40, 10:34] = 1
        found.append({"boxes": torch.tensor([[10.0, 8.0, 34.0, 40.0]]), "masks": mask,
                      "classes": torch.tensor([2])})  # fmt: skip
    found[-1] = {name: value[:0] for name, value in found[-1].items()}
    return found if masks else [{n: v for n, v in t.items() if n != "masks"} for t in found]


def stage_outputs(backbone, images):
    """What the classifier computes at the end of each stage, by hooks."""
    seen = {}
    for name, module in backbone.body.named_children():
        module.register_forward_hook(lambda m, i, o, name=name: seen.setdefault(name, o))
    backbone(images)
    return [value for name, value in seen.items() if name.startswith(("stage", "layer"))]


@pytest.mark.parametrize("architecture", [*FAMILIES, "resnext50_32x4d", "wide_resnet50_2"])
def test_the_pyramid_takes_in_the_stage_outputs_of_the_classifier_bit_for_bit(architecture):
    backbone = pretrained(architecture)
    built = build_detector(backbone, model="faster_rcnn", **SETTINGS).train()
    images = torch.stack(scenes((64, 64), (64, 64)))
    with torch.no_grad():
        given, _ = built.network.transform(list(images))
        found = built.network.backbone.body(given.tensors)
        channels_last = images.contiguous(memory_format=torch.channels_last)
        expected = stage_outputs(backbone, channels_last)
    assert len(found) == len(expected) == (3 if "small" in architecture else 4)
    for one, other in zip(found.values(), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize("model", sorted(DETECTORS))
def test_each_model_trains_and_detects_on_each_family(architecture, model):
    built = detector(architecture, model, score_threshold=0.0)
    if "rcnn" in model:
        built.network.roi_heads.fg_bg_sampler.batch_size_per_image = 16  # quicker
    images = scenes((64, 64), (48, 80))
    torch.manual_seed(0)
    losses = built.losses(images, targets(images, masks=built.masks))
    assert losses.shape == (len(built.loss_names),)
    losses.sum().backward()
    trained = [each for each in built.parameters() if each.requires_grad]
    assert all(each.grad is not None and each.grad.isfinite().all() for each in trained)
    assert sum(bool(each.grad.abs().sum() > 0) for each in trained) > 0.9 * len(trained)
    with torch.no_grad():
        found = built.eval()(images)
    for image, each in zip(images, found, strict=True):
        height, width = image.shape[1:]
        assert len(each["boxes"]) == SETTINGS["detections_per_image"]
        assert each["boxes"].min() >= 0
        assert (each["boxes"].amax(0) <= torch.tensor([width, height] * 2) + 1e-3).all()
        assert set(each["classes"].tolist()) <= {0, 1, 2}
        assert ("masks" in each) == built.masks == ("mask" in model)


@pytest.mark.parametrize(
    ("model", "published", "outputs"),
    [
        ("faster_rcnn", fasterrcnn_resnet50_fpn, 4),
        ("mask_rcnn", maskrcnn_resnet50_fpn, 4),
        ("retinanet", retinanet_resnet50_fpn, 3),
    ],
)
def test_the_large_models_are_those_of_torchvision(model, published, outputs):
    """Same weights under the same names, same anchors: but for frozen BatchNorm's class."""
    expected = published(weights=None, weights_backbone=None, num_classes=outputs)
    built = detector("resnet50", model).network
    shapes = {name: value.shape for name, value in built.state_dict().items()
              if not name.endswith("num_batches_tracked")}  # fmt: skip
    assert shapes == {name: value.shape for name, value in expected.state_dict().items()
                      if not name.endswith("num_batches_tracked")}  # fmt: skip
    ours, theirs = (getattr(each, "anchor_generator", None) or each.rpn.anchor_generator
                    for each in (built, expected))  # fmt: skip
    for one, other in zip(ours.cell_anchors, theirs.cell_anchors, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("stages", range(6))
def test_stages_are_counted_from_the_deepest_as_torchvision_counts(stages):
    names = ["layer4", "layer3", "layer2", "layer1", "conv1"][:stages] + ["bn1"] * (stages == 5)
    body = detector("resnet18", trainable_stages=stages, batch_norm="train").network.backbone.body
    trained = {name.split(".")[0] for name, each in body.named_parameters() if each.requires_grad}
    assert trained == set(names)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_frozen_parts_stay_bit_for_bit_and_others_move(batch_norm):
    built = detector("resnet_small_w4", trainable_stages=2, batch_norm=batch_norm)
    before = copy.deepcopy(built.state_dict())
    images = scenes((64, 64), (64, 64))
    built.eval().train()
    built.losses(images, targets(images, masks=False)).sum().backward()
    with torch.no_grad():
        for each in built.parameters():
            if each.grad is not None:
                each -= 0.1 * each.grad
    body = "network.backbone.body."
    moved = {name.removeprefix(body) for name, value in built.state_dict().items()
             if name.startswith(body) and not torch.equal(value, before[name])}  # fmt: skip
    assert {name.split(".")[0] for name in moved} == {"stage2", "stage3"}
    assert any("bn" in name for name in moved) == (batch_norm == "train")
    assert any("running_mean" in name for name in moved) == (batch_norm == "train")


def test_the_backbone_given_is_not_changed():
    backbone = pretrained("resnet_small_w4")
    before = copy.deepcopy(backbone.state_dict())
    built = build_detector(backbone, model="faster_rcnn_small", **SETTINGS)
    with torch.no_grad():
        for each in built.parameters():
            each.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(each.requires_grad for each in backbone.parameters())


def test_the_seed_draws_the_head_and_nothing_else():
    torch.manual_seed(5)
    random = torch.random.get_rng_state()
    one, same, other = (detector(seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    differ = {name for name, value in one.items() if not torch.equal(value, other[name])}
    assert differ
    assert not any("body" in name for name in differ)


def test_training_draws_of_the_training_sizes_and_tests_have_their_own():
    transform = detector(train_sizes=[32, 64], test_size=96).network.transform
    image = scenes((64, 64))
    drawn = {transform.train()(image)[0].image_sizes[0][0] for _ in range(40)}
    assert drawn == {32, 64}
    assert transform.eval()(image)[0].image_sizes == [(96, 96)]
    wide = transform(scenes((64, 128)))[0]
    assert wide.image_sizes == [(64, 128)], "the longer side is held to max_size"


def test_boxes_come_back_in_the_pixels_of_the_image_given():
    """Each pixel twice both ways, halved by the bilinear resize: the network sees the same."""
    built = detector(score_threshold=0.0, test_size=32).eval()
    (small,) = scenes((32, 32))
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    with torch.no_grad():
        (one,), (other,) = built([small]), built([large])
    torch.testing.assert_close(other["boxes"], 2 * one["boxes"])
    assert torch.equal(other["classes"], one["classes"])


def test_anchors_stay_precise_when_features_are_in_bfloat16():
    anchors = Anchors(((32,),), ((1.0,),))
    anchors.set_cell_anchors(torch.bfloat16, torch.device("cpu"))
    assert anchors.cell_anchors[0].dtype == torch.float32
    (grid,) = anchors.grid_anchors([[1, 300]], [[torch.tensor(4), torch.tensor(4)]])
    assert grid[-1].tolist() == [299 * 4 - 16, -16, 299 * 4 + 16, 16]


@pytest.mark.parametrize("model", ["mask_rcnn_small", "retinanet"])
def test_losses_in_bfloat16_are_near_those_in_float32(model):
    built = detector(model=model)
    images = scenes((64, 64), (64, 64))
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            found.append(built.losses(images, targets(images, masks=built.masks)))
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.02)
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "vgg11"}, "a VGG cannot carry a detector.*ResNet family"),
        ({"trainable_stages": 6}, "6 is out of range.*0 .* to 5"),
        ({"trainable_stages": -1}, "-1 is out of range"),
        ({"model": "faster_rcn"}, "unknown detector 'faster_rcn'.*Did you mean 'faster_rcnn'"),
        ({"batch_norm": "freeze"}, "'freeze' is not allowed.*Did you mean 'frozen'"),
    ],
)
def test_what_cannot_be_built_is_an_error_that_says_what_can(changes, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        detector(**changes)


@pytest.mark.parametrize("image_size", [32, 48, 64])
def test_regions_and_anchors_lie_where_the_strides_put_them(image_size):
    """A map whose values are coordinates of the image: a region's mean is the box's centre."""
    built = build_detector(pretrained("resnet_small_w4", image_size), model="faster_rcnn",
                           **(SETTINGS | {"test_size": 96})).eval()  # fmt: skip
    network, sizes = built.network, [(96, 96)]
    with torch.no_grad():
        images, _ = network.transform(scenes((96, 96)))
        levels = network.backbone(images.tensors)
    shapes = [each.shape[-1] for each in levels.values()]
    assert [96 / stride for stride in network.backbone.all_strides] == shapes
    maps = {}
    for (name, level), stride in zip(levels.items(), network.backbone.all_strides, strict=True):
        x = (torch.arange(level.shape[-1]) + 0.5) * stride
        maps[name] = torch.stack(torch.meshgrid(x, x, indexing="xy"))[None]
    box = torch.tensor([[30.0, 36.0, 54.0, 72.0]])
    region = network.roi_heads.box_roi_pool(maps, [box], sizes)
    # torchvision's RoIAlign is not aligned by half a position: its version 1 (`aligned=False`).
    centre = region.mean((0, 2, 3)) - network.backbone.strides[0] / 2
    torch.testing.assert_close(centre, torch.tensor([42.0, 54.0]), atol=0.51, rtol=0)
    (anchors,) = network.rpn.anchor_generator(images, list(levels.values()))
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert middle.amax() == 96 - network.backbone.strides[0]
