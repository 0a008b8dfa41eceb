"""The benchmark of a large fit measures a fit, on images of each seed's own."""

import json
import sys

import pytest
import torch
from robust_transfer.benchmark.probe import drawn, main


def test_a_fit_is_measured_and_written(tmp_path):
    words = ("--images", "600", "--features", "20", "--classes", "4", "--seeds", "2")
    threads = torch.get_num_threads()
    main(["--out", str(tmp_path / "probe.json"), *words, "--threads", "1"])
    torch.set_num_threads(threads)
    found = json.loads((tmp_path / "probe.json").read_text())
    assert found["solved"]
    assert len(found["iterations"]) == found["seeds"] == 2
    assert found["seconds"] > 0
    assert found["features_mib"] == pytest.approx(750 * 20 * 4 / 2**20)
    if sys.platform == "linux":
        assert found["taken_mib"] <= found["stated_mib"]


def test_a_search_that_is_cut_off_says_so(tmp_path):
    words = ("--images", "100", "--features", "8", "--classes", "3", "--iterations", "1")
    main(["--out", str(tmp_path / "probe.json"), *words])
    assert not json.loads((tmp_path / "probe.json").read_text())["solved"]


def test_seeds_have_images_of_their_own_out_of_one_matrix():
    one, two = drawn(images=80, features=3, classes=4, seeds=2)
    assert one.features is two.features
    assert len(one) == len(two) == 80
    assert one.rows.tolist() != two.rows.tolist()
    assert one.labels.tolist() == (one.rows % 4).tolist()
