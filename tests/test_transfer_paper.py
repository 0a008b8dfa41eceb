"""Protocol paper does what the published code did: inputs, crops, BatchNorm, schedule, choice."""

import copy

import numpy as np
import pytest
import torch
from config_subjects import demo
from robust_transfer.config.check import check_config
from robust_transfer.config.transfer_recipes import recipe_of
from robust_transfer.errors import DataError
from robust_transfer.images.cache import load_cache
from robust_transfer.transfer.crops import Crops, boxes_of, draw_uniforms, resized_crop
from robust_transfer.transfer.paper import TEST_RESIZE, Published
from robust_transfer.transfer.target import load_target
from torchvision.transforms import v2
from transfer_subjects import PAPER, cell, network, run_cell, write_cache, write_network

CPU = torch.device("cpu")
GRID_RATES = [0.01, 0.001]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    write_cache(folder / "cache")
    write_network(folder)
    return folder


def published(files, folder, backbone=None, recipe=PAPER, head_only=True, **changes):
    data = load_target(files / "cache", image_size=32, metric="top1", device=CPU,
                       enlarged=TEST_RESIZE, **changes)  # fmt: skip
    return Published(backbone or network(), data, recipe, cache_folder=files / "cache",
                     output=folder / "p.npz", question="q", head_only=head_only)  # fmt: skip


def test_defaults_are_the_papers_values():
    transfer = check_config(demo()).settings["transfer"]
    recipe = recipe_of(transfer, mode="fixed", protocol="paper", control=False, kind="folder")
    kept = ("epochs", "batch_size", "weight_decay", "learning_rates", "decay_every", "decay")
    assert [recipe[key] for key in kept] == [150, 64, 5e-4, GRID_RATES, 50, 0.1]
    assert (recipe["mean"], recipe["std"]) == ([0, 0, 0], [1, 1, 1])
    assert recipe["select_on"] == "validation"


@pytest.mark.parametrize(("kind", "mean"), [("cifar10", 0.4914), ("cifar100", 0.5071)])
def test_cifar_alone_is_normalised(kind, mean):
    transfer = check_config(demo()).settings["transfer"]
    recipe = recipe_of(transfer, mode="full", protocol="paper", control=False, kind=kind)
    assert recipe["mean"][0] == mean


# Inputs


def test_test_images_are_resized_and_cut_as_torchvision_does(tmp_path):
    """Resize(256), CenterCrop(224) in proportion; Pillow's own filter, to one grey level."""
    write_cache(tmp_path / "cache", size=60)
    data = load_target(tmp_path / "cache", image_size=56, metric="top1", device=CPU,
                       enlarged=TEST_RESIZE)  # fmt: skip
    cache = load_cache(tmp_path / "cache")
    way = v2.Compose([v2.ToPILImage(), v2.Resize(64), v2.CenterCrop(56), v2.PILToTensor()])
    for row in (0, 100):
        expected = way(np.array(cache.image(row)))
        assert (data.images[row].int() - expected.int()).abs().max() <= 1


def test_a_crop_is_what_torchvision_resizes_it_to():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    box = [5, 11, 31, 40]
    tensor = torch.tensor(image).permute(2, 0, 1).float() / 255
    expected = v2.functional.resized_crop(tensor, *box, [24, 24], antialias=True)
    torch.testing.assert_close(resized_crop(image, box, 24, CPU)[0], expected.clamp(0, 1))


def test_boxes_follow_the_distribution_of_torchvision():
    """Means of area, ratio and place of many boxes, against those that torchvision draws."""
    shape, n = (40, 60), 6000
    drawn = draw_uniforms(n, torch.Generator().manual_seed(0))
    mine = boxes_of(torch.tensor([shape] * n), drawn).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(3, *shape)
        crop = v2.RandomResizedCrop(8, antialias=True)
        theirs = [crop.make_params([image]) for _ in range(n)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in theirs]).double()
    assert (mine[:, 0] + mine[:, 2]).max() <= 40
    assert (mine[:, 1] + mine[:, 3]).max() <= 60
    for one in ("area", "ratio", "top", "left"):
        a, b = ({"area": x[:, 2] * x[:, 3], "ratio": x[:, 3] / x[:, 2], "top": x[:, 0],
                 "left": x[:, 1]}[one] for x in (mine, theirs))  # fmt: skip
        error = (a.var() / n + b.var() / n).sqrt()
        assert abs(a.mean() - b.mean()) < 5 * error, one


def test_where_no_box_fits_the_largest_middle_one_is_taken():
    box = boxes_of(torch.tensor([[10, 1000]]), draw_uniforms(1, torch.Generator().manual_seed(1)))
    top, left, height, width = box[0].tolist()
    assert (top, height, width) == (0, 10, 13)
    assert left == pytest.approx(493, abs=1)


def test_half_of_the_crops_are_mirrored_and_the_seed_decides_all(files):
    cache = load_cache(files / "cache")
    augment = Crops(cache, 16, CPU)
    rows = torch.arange(40)
    one, two, three = (augment(rows, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert one.shape == (40, 3, 16, 16)
    assert 0 <= one.min() <= one.max() <= 1


def test_a_share_of_a_batch_is_cropped_as_within_the_whole(files):
    augment, rows = Crops(load_cache(files / "cache"), 16, CPU), torch.arange(12)
    whole = augment(rows, torch.Generator().manual_seed(3))
    part = augment.share(rows[4:9], torch.Generator().manual_seed(3), n=12, rows=slice(4, 9))
    assert torch.equal(part, whole[4:9])


# What is trained


def test_the_fixed_body_keeps_its_weights_but_its_batchnorm_adapts(files, tmp_path):
    backbone = network()
    before = copy.deepcopy(backbone.state_dict())
    tuned = published(files, tmp_path, backbone).seed(0).model().state_dict()
    for name, value in before.items():
        assert torch.equal(backbone.state_dict()[name], value)
        if name.startswith("body") and "running" not in name and "tracked" not in name:
            assert torch.equal(tuned[name], value), name
    assert not torch.equal(tuned["body.bn1.running_mean"], before["body.bn1.running_mean"])


def test_full_trains_the_body_too(files, tmp_path):
    backbone = network()
    tuned = published(files, tmp_path, backbone, head_only=False).seed(0).model().state_dict()
    assert not torch.equal(tuned["body.conv1.weight"], backbone.state_dict()["body.conv1.weight"])


def test_inputs_are_not_normalised(files, tmp_path):
    model = published(files, tmp_path)._model(0)
    assert model.mean.flatten().tolist() == [0, 0, 0]
    assert model.std.flatten().tolist() == [1, 1, 1]


def test_the_learning_rate_falls_by_steps(files, tmp_path):
    recipe = published(files, tmp_path)._recipe(0.01, 0, an_epoch=5, steps=20)
    rates = [recipe.learning_rate(step) for step in range(20)]
    assert rates == pytest.approx([0.01] * 10 + [0.001] * 10)


# What chooses


def test_validation_chooses_unless_the_test_split_is_asked_for(files, tmp_path):
    clean = published(files, tmp_path / "a").seed(0)
    assert (clean.selected_on, len(clean.split.held_out)) == ("validation", 16)
    assert clean.validation_accuracy is not None
    on_test = published(files, tmp_path / "b", recipe=PAPER | {"select_on": "test"}).seed(0)
    assert (on_test.selected_on, len(on_test.split.held_out)) == ("test", 0)
    assert len(on_test.split.train) == 80  # as published: all are trained on
    assert on_test.validation_accuracy is None


def test_with_validation_the_labels_of_test_images_change_nothing(files, tmp_path):
    outcomes = []
    for name in ("a", "b"):
        way = published(files, tmp_path / name)
        if name == "b":
            way.target.labels[way.target.n_train :] = 0
        outcomes.append(way.seed(0))
    assert torch.equal(outcomes[0].logits, outcomes[1].logits)


def test_with_test_the_best_looked_at_epoch_is_kept(files, tmp_path):
    way = published(files, tmp_path, recipe=PAPER | {"select_on": "test"})
    outcome = way.seed(0)
    rows = torch.arange(80, 120)
    best = max(
        run.best_value for run in (way._run(outcome.split, rate, 0)[1] for rate in GRID_RATES)
    )
    assert way.target.score(outcome.logits, rows) == best


def test_with_one_label_a_class_the_middle_rate_and_the_last_epoch_are_taken(files, tmp_path):
    outcome = published(files, tmp_path, label_budget=1).seed(0)
    assert (outcome.selected_on, outcome.validation_accuracy) == ("none", None)
    assert outcome.selected == "learning_rate=0.01"


def test_one_training_image_is_refused(files, tmp_path):
    way = published(files, tmp_path)
    object.__setattr__(way.target, "n_train", 1)
    with pytest.raises(DataError, match="two training images"):
        way.seed(0)


@pytest.mark.parametrize("mode", ["fixed", "full"])
def test_a_cell_marks_rows_chosen_on_test_and_comes_out_the_same_twice(files, mode):
    what, recipe = cell(mode=mode, protocol="paper"), PAPER | {"select_on": "test"}
    (one,), (said,) = run_cell(files, f"a{mode}", recipe, what)
    (two,), _ = run_cell(files, f"b{mode}", recipe, what)
    assert (said["protocol"], said["selected_on"], said["held_out_images"]) == ("paper", "test", 0)
    looks = 2 * 4 * 40
    assert said["images_through_network"] == 2 * 4 * 80 + looks + 40
    with open(one, "rb") as first, open(two, "rb") as second:
        assert first.read() == second.read()
