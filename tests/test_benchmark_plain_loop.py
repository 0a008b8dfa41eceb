"""Fine-tuning and the plain loop train the same network on the same images, in turns."""

import numpy as np
import pytest
from PIL import Image
from robust_transfer.benchmark import plain_loop, transfer
from robust_transfer.benchmark.plain_loop import BATCH, Loop, _ours, _plain, _row, write_files
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from transfer_subjects import write_network

DIGITS = {"name": "uci_digits", "kind": "uci_digits", "test_fraction": 0.4, "split_seed": 0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    build_cache(DIGITS, "native", folder, data_root=folder, on_bad_image="stop")
    return folder


@pytest.fixture(scope="module")
def files(cache, tmp_path_factory):
    return write_files(cache, tmp_path_factory.mktemp("files"))


def test_every_training_image_is_a_file_of_its_class(cache, files):
    stored = load_cache(cache)
    found = {int(path.stem): path for path in files.rglob("*.jpg")}
    assert sorted(found) == list(range(stored.n_train))
    row = 17
    assert int(found[row].parent.name) == stored.labels[row]
    read = np.asarray(Image.open(found[row]), dtype=float)
    assert abs(read - np.array(stored.image(row))).mean() < 8  # JPEG


def test_both_loops_take_steps_of_a_batch(cache, files, tmp_path, monkeypatch):
    monkeypatch.setattr(plain_loop, "SECONDS", 0.01)
    ours = _ours(cache, "resnet_small", 8, tmp_path)
    taken = ours.step()
    assert taken >= 2 * BATCH
    assert taken % BATCH == 0
    assert not (tmp_path / "state.safetensors").exists()
    assert _plain(files, "resnet_small", 8, 0).step() == BATCH


def test_what_workers_read_ahead_is_not_counted(monkeypatch):
    monkeypatch.setattr(plain_loop, "SECONDS", 0.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    clock = iter([0.0, -1.0, 0.0, 2.0, 2.0])  # started, not yet over, over after one step
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    steps = []
    loop = Loop(lambda: steps.append(64) or 64, ahead=3)
    assert loop.speed() == 64 / 2
    assert len(steps) == 3 + 1


def test_the_faster_plain_loop_of_each_round_counts():
    class Said:
        def __init__(self, *speeds):
            self.speeds = iter(speeds)

        def ask(self, method):
            assert method == "speed"
            return next(self.speeds)

    warm_up, rounds = 1e9, plain_loop.ROUNDS
    ways = {
        "ours": Said(warm_up, *[600.0] * rounds),
        "0": Said(warm_up, *[100.0, 300.0] * rounds),
        "2": Said(warm_up, *[200.0] * rounds),
    }
    row = _row("resnet_small", 48, ways)
    assert row["times_as_fast_by_round"] == [3.0, 2.0, 3.0, 2.0, 3.0]
    assert row["times_as_fast"] == 3.0
    assert row["images_per_second_plain"] == {"0": 100.0, "2": 200.0}


def test_fixed_features_are_measured_by_both_protocols_from_files_to_files(cache, tmp_path):
    weights = write_network(tmp_path)
    found = transfer.measure_fixed(tmp_path, weights, cache, epochs=1)
    slower = max(found["clean"]["seconds"], found["clean_again"]["seconds"])
    assert found["times_as_fast"] == found["paper"]["seconds"] / slower
    assert found["clean"]["accuracy"] == found["clean_again"]["accuracy"]
    assert all(len(found[name]["accuracy"]) == 3 for name in ("clean", "paper"))
    apart = np.mean(found["clean"]["accuracy"]) - np.mean(found["paper"]["accuracy"])
    assert found["difference"]["mean"] == pytest.approx(apart)
    assert found["difference"]["ci_low"] < apart < found["difference"]["ci_high"]
    stored, trained_on = load_cache(cache), 1 - transfer.PAPER["validation_fraction"]
    batches = int(stored.n_train * trained_on) // transfer.PAPER["batch_size"]
    passed = 2 * (batches * transfer.PAPER["batch_size"] + stored.n_train * (1 - trained_on))
    expected = 3 * (passed + len(stored) - stored.n_train)
    assert found["paper"]["images_through_network"] == pytest.approx(expected, rel=0.01)
