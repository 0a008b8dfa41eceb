"""Which images each run gets right: the bits that predictions say, by row of accuracy.csv."""

import numpy as np
from robust_transfer.statistics.right_images import (
    places,
    read_right_images,
    right_images,
    unpacked,
    write_right_images,
)
from robust_transfer.transfer.predictions import load_predictions
from test_statistics_accuracy import table_of, transfer


def found(folder, runs):
    accuracy = table_of(folder, runs)
    return accuracy, right_images(accuracy, *zip(*runs, strict=True))


def test_each_row_has_the_bits_of_its_own_predictions(tmp_path):
    runs = [transfer(tmp_path, seed=seed, right=right, n=13) for seed, right in ((2, 3), (0, 9))]
    accuracy, stored = found(tmp_path, runs)
    rows, right, labels = unpacked(stored, "digits", "32")
    assert right.shape == (2, 13)
    for row, bits in zip(rows, right, strict=True):
        seed = accuracy["transfer_seed"][row]
        said = load_predictions(tmp_path / f"seed{seed}" / "predictions.npz")
        np.testing.assert_array_equal(bits, said.predicted == said.labels)
        np.testing.assert_array_equal(labels, said.labels)
        assert bits.mean() == accuracy["accuracy"][row]


def test_each_dataset_and_resolution_has_its_own(tmp_path):
    runs = [
        transfer(tmp_path / name, dataset=name, resolution=resolution, n=n)
        for name, resolution, n in (("pets", "native", 9), ("cars", "32", 5))
    ]
    _, stored = found(tmp_path, runs)
    assert places(stored) == [("cars", "32"), ("pets", "native")]
    assert unpacked(stored, "cars", "32")[1].shape == (1, 5)


def test_the_file_holds_the_same_and_equal_arrays_are_equal_bytes(tmp_path):
    _, stored = found(tmp_path, [transfer(tmp_path, seed=seed) for seed in (0, 1)])
    for name in ("one", "two"):
        write_right_images(tmp_path / f"{name}.npz", stored)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = read_right_images(tmp_path / "one.npz")
    assert again.keys() == stored.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(again[name], array)
