"""A batch of scenes taken in parts where memory is short: the same gradient, and it is said."""

import numpy as np
import pytest
import torch
from detection_subjects import CPU, RECIPE, detector, same, toy_scenes, train
from robust_transfer.attacks.batches import TooLittleMemoryError
from robust_transfer.detection.batches import SceneReader, scene_batches
from robust_transfer.detection.training import DetectionStep, DetectorRecipe
from robust_transfer.training.parts import even_parts
from robust_transfer.training.randomness import derived_seed
from robust_transfer.training.sgd import Sgd


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return toy_scenes(tmp_path_factory.mktemp("scenes"))


class SmallMemory:
    """Lets a detector see at most so many images, then raises what CUDA raises.

    Late: the backbone's BatchNorm has taken note of the images, or backward has begun.
    """

    def __init__(self, built, most, *, when="forward"):
        self.most, self.when = most, when
        built.network.backbone.register_forward_hook(self.check)

    def check(self, module, given, found):
        if len(given[0]) > self.most:
            if self.when == "forward":
                self.fail()
            next(iter(found.values())).register_hook(self.fail)

    def fail(self, gradient=None):
        raise torch.OutOfMemoryError("CUDA out of memory")


def scenes(cache, n, *, masks=False):
    """The first scenes of a cache, as a step gets them."""
    asked = iter([(np.arange(n), np.zeros(n, bool))])
    (batch,) = scene_batches(SceneReader(cache, masks), asked, workers=0, device=CPU)
    return batch


def stepping(built, n, **changes):
    plan = DetectorRecipe(**(RECIPE | {"batch_size": n} | changes), label="test")
    optimiser = Sgd(built.parameters(), momentum=plan.momentum, weight_decay=plan.weight_decay)
    return DetectionStep(built, plan, optimiser, n, 3)


def gradients(built):
    return [each.grad.clone() for each in built.parameters() if each.requires_grad]


def one_step(built, batch, *, most=99):
    """Take one step in place; return its losses, its gradient before any clipping, its parts."""
    SmallMemory(built, most)
    take = stepping(built, len(batch[0]), gradient_clip=0.0)
    return take(batch, 0), gradients(built), take.parts.count


def assert_close(found, expected, **tolerance):
    torch.testing.assert_close(found, expected, **({"rtol": 1e-4, "atol": 1e-5} | tolerance))


def draw_the_first(monkeypatch):
    """Sampled are the first anchors and regions, whatever the seed and the parts."""
    monkeypatch.setattr(torch, "randperm", lambda n, device=None: torch.arange(n, device=device))


@pytest.mark.parametrize("model", ["retinanet", "faster_rcnn_small"])
def test_a_share_in_parts_has_the_gradient_of_the_whole_and_says_so(
    cache, model, monkeypatch, capsys
):
    """With frozen BatchNorm, images of one size, and the same draws: RetinaNet makes none."""
    draw_the_first(monkeypatch)
    batch = scenes(cache, 3)
    losses, whole, _ = one_step(detector(cache, model=model), batch)
    assert "memory" not in capsys.readouterr().err
    for most, counts in ((2, [2]), (1, [2, 3])):
        found, parts, count = one_step(detector(cache, model=model), batch, most=most)
        assert count == counts[-1]
        assert_close(found, losses, rtol=1e-5, atol=1e-6)
        assert_close(parts, whole)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(" from here on")[0] for line in lines] == [
            "test: too little GPU memory for 3 images at once; each batch is taken in "
            f"{each} parts" for each in counts
        ]  # fmt: skip


def test_losses_and_gradient_in_parts_are_those_of_the_parts_weighted_by_their_images(cache):
    batch = images, targets = scenes(cache, 5, masks=True)
    found, parts, count = one_step(detector(cache, model="mask_rcnn_small"), batch, most=2)
    assert count == 4
    plain = detector(cache, model="mask_rcnn_small")
    torch.manual_seed(derived_seed(3, "sampling", 0))
    expected = torch.zeros(5)
    for rows, share in ((slice(2), 0.4), *((slice(k, k + 1), 0.2) for k in (2, 3, 4))):
        losses = share * plain.losses(images[rows], targets[rows])
        losses.sum().backward()
        expected += losses.detach()
    assert_close(found, expected)
    assert_close(parts, gradients(plain))


def test_of_a_scene_without_objects_only_the_mask_loss_in_parts_is_another(cache, monkeypatch):
    """It is a mean over the regions that hold an object, of which a part may have few or none."""
    draw_the_first(monkeypatch)
    images, targets = scenes(cache, 2, masks=True)
    targets[0] = {name: value[:0] for name, value in targets[0].items()}
    whole, _, _ = one_step(detector(cache, model="mask_rcnn_small"), (images, targets))
    found, _, _ = one_step(detector(cache, model="mask_rcnn_small"), (images, targets), most=1)
    assert_close(found[:-1], whole[:-1])
    assert_close(found[-1], whole[-1] / 2)  # all of it comes from one image, one part of two


def test_a_part_is_padded_to_its_own_largest_image_and_padding_counts(cache):
    """So the loss of RetinaNet, too, is that of the whole for images of one size alone."""
    images, targets = scenes(cache, 2)
    images[1] = images[1].repeat(1, 1, 2)
    whole, _, _ = one_step(detector(cache, model="retinanet"), (images, targets))
    parts, _, _ = one_step(detector(cache, model="retinanet"), (images, targets), most=1)
    assert abs(parts[0] - whole[0]) > 1e-4  # rounding is a hundredth of that


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_an_attempt_that_failed_leaves_no_trace_and_parts_stay_as_small(cache, when, capsys):
    short, told = (detector(cache, batch_norm="train", train_sizes=[48, 64]) for _ in range(2))
    SmallMemory(short, 2, when=when)
    one, other = stepping(short, 4), stepping(told, 4)
    other.parts.count = 2
    for step in range(2):
        assert torch.equal(one(scenes(cache, 4), step), other(scenes(cache, 4), step))
    assert one.parts.count == 2
    assert same(short, told)
    assert capsys.readouterr().err.count("too little GPU memory") == 1


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_too_little_memory_for_one_image_is_an_error(cache, tmp_path, when):
    built = detector(cache)
    SmallMemory(built, 0, when=when)
    with pytest.raises(TooLittleMemoryError, match=r"one image.*smaller train_sizes"):
        train(built, cache, tmp_path)


@pytest.mark.parametrize("model", ["mask_rcnn_small", "faster_rcnn_small"])
def test_with_memory_enough_a_step_is_the_plain_one_to_the_bit(cache, model):
    """Seed, losses, backward, clip, descend: written out."""
    make = dict(model=model, batch_norm="train", train_sizes=[48, 64])
    built, plain = detector(cache, **make), detector(cache, **make)
    batch = images, targets = scenes(cache, 4, masks=plain.masks)
    take, expected = stepping(built, 4), stepping(plain, 4)
    for step in range(3):
        torch.manual_seed(derived_seed(3, "sampling", step))
        expected.optimiser.zero_grad()
        losses = plain.losses(images, targets)
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(expected.optimiser.parameters, 10.0)
        expected.optimiser.step(expected.recipe.rate(step, 4))
        assert torch.equal(take(batch, step), losses.detach())
    assert same(built, plain)


@pytest.mark.parametrize(
    ("n", "count", "sizes"), [(4, 1, [4]), (7, 4, [2, 2, 2, 1]), (3, 3, [1] * 3)]
)
def test_parts_are_even_and_complete(n, count, sizes):
    rows = list(range(n))
    parts = [rows[each] for each in even_parts(n, count)]
    assert [len(part) for part in parts] == sizes
    assert [row for part in parts for row in part] == rows
