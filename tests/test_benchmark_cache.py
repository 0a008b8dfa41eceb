"""The benchmark of caches measures both ways on the same pixels, and says so in a table."""

import csv

import numpy as np
import pytest
from PIL import Image
from robust_transfer.benchmark import cache as benchmark
from robust_transfer.errors import DataError
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from torchvision import datasets, transforms


@pytest.fixture
def folder(tmp_path):
    """Two classes of noise in sizes of their own."""
    noise = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            height, width = noise.integers(40, 90, 2)
            pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_both_ways_give_every_image_once_in_each_epoch(folder, tmp_path):
    rows = benchmark.measure(folder, tmp_path / "out", native_size=48, workers=1, epochs=2)
    assert {row["way"] for row in rows} == {"cache", "folder, 1 workers", "folder, 0 workers"}
    assert {row["images"] for row in rows} == {12}
    assert {(row["resolution"], row["size"]) for row in rows} == {("32", 32), ("native", 48)}
    with (tmp_path / "out" / "cache.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(rows) == 2 * 3 * 2
    assert (tmp_path / "out" / "cache.md").read_text(encoding="utf-8").count("| 12 |") == 2


def test_a_way_that_gives_other_pixels_is_not_measured(folder, tmp_path):
    dataset = {"name": "x", "kind": "folder", "path": str(folder), "test_fraction": 0.5,
               "split_seed": 0}  # fmt: skip
    build_cache(dataset, "32", tmp_path / "cache", data_root="", on_bad_image="stop")
    other = transforms.Compose(
        [transforms.Resize((32, 32)), transforms.Grayscale(3), transforms.PILToTensor()]
    )
    with pytest.raises(DataError, match="different pixels"):
        benchmark._check_same_pixels(
            load_cache(tmp_path / "cache"), datasets.ImageFolder(str(folder), other), 32
        )


def test_the_ratio_is_to_the_faster_of_the_alternatives():
    rates = {
        "cache": [100, 120, 80],
        "folder, 2 workers": [10, 10, 10],
        "folder, 0 workers": [5] * 3,
    }
    rows = [
        {"resolution": "32", "size": 32, "way": way, "images": 9, "images_per_second": rate}
        for way, each in rates.items()
        for rate in each
    ]
    text = benchmark.summary(rows, {"32": (1.0, 5.0)}, 2)
    assert "10.0 (8.0, 12.0)" in text
    assert "folder, 2 workers" in text
