"""What goes wrong in a transfer is refused or said, and a job that was stopped still costs."""

import time

import numpy as np
import pytest
import torch
from config_subjects import demo
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.config.architectures import BLOCKS, blocks_of
from robust_transfer.config.check import check_config
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.training import loop
from robust_transfer.training.divergence import TrainingDivergedError
from robust_transfer.transfer import features, fixed
from robust_transfer.transfer.blocks import parts_below
from robust_transfer.transfer.features import feature_bytes
from robust_transfer.transfer.full import Finetuning
from robust_transfer.transfer.probe_memory import probe_bytes
from transfer_subjects import (
    FIXED,
    FULL,
    PAPER,
    cell,
    network,
    probed,
    run_cell,
    target,
    write_cache,
    write_network,
)

LABELS = np.arange(60) % 3
WAYS = [("fixed", "clean", FIXED), ("full", "clean", FULL), ("fixed", "paper", PAPER),
        ("full", "paper", PAPER)]  # fmt: skip
FAR_TOO_HIGH = 1e25


@pytest.fixture
def files(tmp_path):
    write_cache(tmp_path / "cache")
    write_network(tmp_path)
    return tmp_path


def broken(parameter, value):
    """Return a network with one parameter spoilt."""
    backbone = network()
    with torch.no_grad():
        backbone.get_parameter(parameter)[0] = value
    return backbone


def finetuning(folder, recipe):
    return Finetuning(network(), target(LABELS), recipe, output=folder / "predictions.npz",
                      question="test")  # fmt: skip


@pytest.mark.parametrize(("mode", "protocol", "recipe"), WAYS)
def test_a_backbone_whose_features_are_not_finite_is_refused_in_every_way(
    tmp_path, mode, protocol, recipe
):
    write_cache(tmp_path / "cache")
    write_network(tmp_path, backbone=broken("body.conv1.weight", 3e38))
    with pytest.raises(DataError, match="not finite: pretrain it again"):
        run_cell(tmp_path, "x", recipe, cell(mode=mode, protocol=protocol))


def test_a_learning_rate_that_diverges_is_not_chosen_and_ends_nothing(tmp_path):
    recipe = FULL | {"learning_rates": [FAR_TOO_HIGH, 0.01]}
    outcome = finetuning(tmp_path / "a", recipe).seed(0)
    alone = finetuning(tmp_path / "b", FULL | {"learning_rates": [0.01]}).seed(0)
    assert outcome.selected == "learning_rate=0.01"
    assert torch.equal(outcome.logits, alone.logits)
    assert outcome.notes == ("learning rate 1e+25 diverged and was not chosen from",)
    # What it took before it was noticed counts: at least a step of 16 images.
    spent = alone.images_through_network
    assert spent + 16 <= outcome.images_through_network < 2 * spent


def test_what_a_rate_of_protocol_paper_took_until_it_diverged_counts(files):
    recipe = PAPER | {"learning_rates": [0.01]}
    what = cell(mode="full", protocol="paper")
    _, (alone,) = run_cell(files, "alone", recipe, what)
    both = recipe | {"learning_rates": [FAR_TOO_HIGH, 0.01]}
    _, (said,) = run_cell(files, "both", both, what)
    assert said["notes"][0] == "learning rate 1e+25 diverged and was not chosen from"
    spent = alone["images_through_network"]
    assert spent + 16 <= said["images_through_network"] < 2 * spent


def test_where_every_learning_rate_diverges_the_key_is_named(tmp_path):
    recipe = FULL | {"learning_rates": [FAR_TOO_HIGH, 2 * FAR_TOO_HIGH]}
    with pytest.raises(TrainingDivergedError, match=r"tried: 1e\+25, 2e\+25 \(transfer.full"):
        finetuning(tmp_path, recipe).seed(0)


def test_a_probe_that_does_not_end_says_so(monkeypatch):
    real = fixed.fit_probes
    short = lambda *given, **how: real(*given, **how, max_iterations=1)  # noqa: E731
    monkeypatch.setattr(fixed, "fit_probes", short)
    data = target(LABELS)
    outcome = probed(network(), data, FIXED, 0)
    assert any("not yet proven least" in note for note in outcome.notes)
    monkeypatch.undo()
    assert not probed(network(), data, FIXED, 0).notes


def test_predictions_of_one_class_alone_are_noted(files):
    flat = network()
    with torch.no_grad():
        for parameter in flat.body.stage3.parameters():
            parameter.zero_()
    write_network(files, backbone=flat)
    _, (said,) = run_cell(files, "flat", FIXED, cell())
    assert "every test image is given one and the same class" in said["notes"]


@pytest.mark.parametrize("blocks", [4, 99])
def test_too_many_blocks_are_refused_before_any_job(blocks):
    with pytest.raises(ConfigError, match=f"{blocks}, where resnet_small has 3 blocks"):
        check_config(demo({"transfer.full.trainable_blocks": ["all", blocks]}))


@pytest.mark.parametrize("recipe", ["full", "paper"])
def test_a_batch_of_one_is_refused_before_any_job(recipe):
    with pytest.raises(ConfigError, match=r"1 is too small. Allowed is at least 2 .*BatchNorm"):
        check_config(demo({f"transfer.{recipe}.batch_size": 1}))


def test_blocks_that_the_config_counts_on_are_those_of_the_networks():
    for name in ("resnet_small", "resnet18", "resnet50"):
        assert name == "resnet_small" or name in BLOCKS
        backbone = make_backbone(name, classes=2, image_size=32, mean=[0] * 3, std=[1] * 3, seed=0)
        with pytest.raises(ConfigError, match=f"this network has {blocks_of(name)} blocks"):
            parts_below(backbone, 999)


# What a transfer costs


class StoppedError(Exception):
    """A job is killed here."""


def test_the_seconds_of_a_job_that_was_stopped_are_not_lost(files, monkeypatch):
    """Each step of the first start takes 0.05 s; the second start finds them done."""
    steps = FULL["steps"] * len(FULL["learning_rates"])
    real = loop.TrainingStep.__call__

    def slow(*given, **more):
        time.sleep(0.05)
        return real(*given, **more)

    def stop(*given, **more):
        raise StoppedError

    what = cell(mode="full")
    with monkeypatch.context() as patched:
        patched.setattr(loop.TrainingStep, "__call__", slow)
        patched.setattr("robust_transfer.transfer.cell.save_predictions", stop)
        with pytest.raises(StoppedError):
            run_cell(files, "x", FULL, what)
    _, (said,) = run_cell(files, "x", FULL, what)
    assert said["seconds"] > 0.05 * steps


def test_each_seed_costs_what_it_would_cost_alone(files, monkeypatch):
    """Features take 0.6 s, once for all seeds, and count in each: as the images do."""
    real = features.logits_of

    def slow(*given):
        time.sleep(0.6)
        return real(*given)

    monkeypatch.setattr(features, "logits_of", slow)
    _, said = run_cell(files, "three", FIXED, cell(), seeds=[0, 1, 2])
    _, (alone,) = run_cell(files, "alone", FIXED, cell(), seeds=[2])
    assert {each["images_through_network"] for each in said} == {alone["images_through_network"]}
    assert min(each["seconds"] for each in (*said, alone)) > 0.6


def test_the_log_states_what_features_and_probes_need_and_no_copy_is_made(capfd, monkeypatch):
    data, backbone, seen = target(LABELS), network(), []
    real = fixed.fit_probes

    def counting(samples, **how):
        seen.append({(each.features.data_ptr(), each.features.nbytes) for each in samples})
        return real(samples, **how)

    monkeypatch.setattr(fixed, "fit_probes", counting)
    list(fixed.Probing(backbone, data, FIXED).outcomes([0, 1, 2]))
    rows = 60 + 10 + 3 * 60  # every image, and a view of the training images for each seed
    assert seen[0] == seen[1]
    assert [size for _, size in seen[0]] == [4 * rows * 16]  # one matrix for all seeds and fits
    needed = probe_bytes(2 * 60, 16, 3, 3, samples=3) + feature_bytes(rows, 16)
    needed += 8 * 3 * (2 * 3 * 60 + 2 * 3 * 10)  # scores
    said = capfd.readouterr().err
    assert f"3 penalties x 3 seeds: at most {1.06 * needed / 2**20:.0f} MiB" in said
