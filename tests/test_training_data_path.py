"""Images on the device or streamed from the cache: the same batches, the same weights."""

import pytest
import torch
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.images.build import build_cache
from robust_transfer.training.device import cpus, free_memory_bytes, use_threads
from robust_transfer.training.loop import fit_pool
from robust_transfer.training.pool import Streamed
from robust_transfer.training.pretrain import pretrain
from robust_transfer.training.recipes import pretraining_recipe
from robust_transfer.training.source import Source, load_source
from safetensors.torch import load_file

LETTERS = {"name": "letters", "kind": "toy", "alphabet": "letters", "size": 16, "n_train": 96,
           "n_test": 12, "seed": 0, "grating": 1}  # fmt: skip
BACKBONE = {"name": "x", "architecture": "resnet_small_w4", "source": "letters", "norm": "l2",
            "epsilon": 0.1, "seed": 0}  # fmt: skip
RECIPE = {
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "warmup": 0.2,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "label_smoothing": 0.1,
    "weight_average": 0.9,
    "epsilon_warmup": 0.3,
    "method": "pgd",
    "attack_steps": 2,
    "relative_step_size": 2 / 3,
    "random_start": True,
    "trades_beta": 6.0,
    "nfgsm_noise": 2.0,
    "augmentation": "imagenet",
    "validation_fraction": 0.25,
    "compile": "off",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    build_cache(LETTERS, "native", folder, data_root=folder, on_bad_image="stop")
    return folder


def source(cache, on_device_mb):
    settings = {"image_size": 16, "validation_fraction": 0.25, "seed": 0}
    return load_source(cache, on_device_mb=on_device_mb, device=torch.device("cpu"), **settings)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [16, 20])
def test_streamed_batches_equal_resident_ones(cache, workers, size):
    opened = source(cache, 1)
    whole = opened.pool("train", size=size)
    streamed = Streamed(opened.cache, opened.train, size, whole.labels, workers)
    order = [torch.tensor([5, 3, 60]), torch.tensor([0]), torch.tensor([7, 7])]
    for (images, labels), (same, truth) in zip(
        streamed.batches(order), whole.batches(order), strict=True
    ):
        assert images.dtype == torch.uint8
        assert torch.equal(images, same)
        assert torch.equal(labels, truth)


def test_a_split_above_the_limit_is_streamed_and_the_log_says_which(cache, capsys):
    on_device, streamed = source(cache, 1).pool("train"), source(cache, 0).pool("train")
    said = capsys.readouterr().err.splitlines()
    assert not isinstance(on_device, Streamed)
    assert isinstance(streamed, Streamed)
    assert "letters, train: 72 images" in said[0]
    assert "on the device (cpu) as a whole" in said[0]
    assert "streamed by" in said[1]


def test_no_more_than_half_of_the_free_memory_is_filled(cache, monkeypatch):
    needed = 72 * 16 * 16 * 3
    name = "robust_transfer.training.source.free_memory_bytes"
    for free, streamed in ((2 * needed, False), (2 * needed - 2, True)):
        monkeypatch.setattr(name, lambda device, free=free: free)
        assert isinstance(source(cache, 1).pool("train"), Streamed) == streamed
    assert 2**20 < free_memory_bytes(torch.device("cpu")) < 2**50


def test_a_part_of_a_split_is_that_part(cache):
    opened = source(cache, 1)
    everything, part = opened.pool("test"), opened.pool("test", rows=slice(1, None, 3))
    order = [torch.arange(len(part))]
    images, labels = next(part.batches(order))
    all_images, all_labels = next(everything.batches([torch.arange(len(everything))]))
    assert torch.equal(images, all_images[1::3])
    assert torch.equal(labels, all_labels[1::3])


def trained(cache, folder, on_device_mb, **changes):
    outputs = {name: str(folder / name) for name in ("weights", "last", "history", "cost")}
    pretrain(cache, BACKBONE, image_size=14, recipe=RECIPE | changes, outputs=outputs, code="0",
             on_device_mb=on_device_mb)  # fmt: skip
    return {name: load_file(outputs[name]) for name in ("weights", "last")}


def test_the_same_seed_gives_the_same_weights_on_both_paths(cache, tmp_path):
    resident = trained(cache, tmp_path / "resident", 1)
    streamed = trained(cache, tmp_path / "streamed", 0)
    for name, weights in resident.items():
        for key, value in weights.items():
            assert torch.equal(value, streamed[name][key]), (name, key)


def test_imagenet_crops_start_from_images_larger_by_a_seventh(cache, tmp_path, monkeypatch):
    asked, pool = [], Source.pool

    def noted(self, name, **arguments):
        asked.append((name, arguments.get("size")))
        return pool(self, name, **arguments)

    monkeypatch.setattr(Source, "pool", noted)
    trained(cache, tmp_path, 1, epochs=1)
    assert asked[0] == ("train", 16)
    assert asked[1][0] == "validation"


class StoppedError(Exception):
    """What a kill is, to a test."""


def test_a_streamed_run_killed_at_a_step_ends_with_the_weights_of_an_undisturbed_one(
    cache, tmp_path, monkeypatch
):
    monkeypatch.setattr("robust_transfer.training.loop.SECONDS_BETWEEN_STATES", -1.0)
    opened = source(cache, 1)
    labels = opened.pool("train").labels

    def train(name, stop=None):
        def after_step(step):
            if step == stop:
                raise StoppedError

        model = make_backbone("resnet_small_w4", classes=12, image_size=14, mean=[0.5] * 3,
                              std=[0.2] * 3, seed=0)  # fmt: skip
        recipe = pretraining_recipe(RECIPE, norm="l2", epsilon=0.1, steps=9, image_size=14,
                                    identity="test", label="test")  # fmt: skip
        fit_pool(model, Streamed(opened.cache, opened.train, 16, labels, 2), recipe, seed=1,
                 evaluate=lambda model: {"validation_robust_accuracy": 0.5}, evaluate_every=4,
                 state_path=tmp_path / f"{name}.safetensors", after_step=after_step)  # fmt: skip
        return model.state_dict()

    undisturbed = train("a")
    with pytest.raises(StoppedError):
        train("b", stop=5)
    for name, value in train("b").items():
        assert torch.equal(value, undisturbed[name]), name


def test_a_job_computes_with_no_more_threads_than_there_are_cpus():
    before = torch.get_num_threads()
    try:
        use_threads(10_000)
        assert torch.get_num_threads() == cpus()
        use_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
