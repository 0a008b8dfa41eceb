"""Measures of granularity have the values that algebra gives on simple clouds and pictures."""

import numpy as np
import pandas as pd
import pytest
from robust_transfer.errors import DataError
from robust_transfer.files import write_json
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from robust_transfer.statistics.granularity import (
    class_distances,
    high_frequency_energy,
    intrinsic_dimension,
    measures,
    nearest_mean_margin,
)
from robust_transfer.statistics.granularity_prediction import (
    best_epsilons,
    error_of_median,
    leave_one_out_error,
    prediction_table,
)
from robust_transfer.statistics.granularity_table import (
    COLUMNS,
    MEASURES,
    granularity_points,
    granularity_predictions,
    granularity_table,
)
from robust_transfer.statistics.tables import ACCURACY, make_table
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestCentroid


def clouds(n=200, classes=4, dimensions=6, apart=3.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = apart * generator.normal(size=(classes, dimensions))
    return centres[labels] + generator.normal(size=(n, dimensions)), labels


def test_distances_of_two_classes_on_a_line():
    found = class_distances(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1]))
    assert found == {"within": 1.0, "between": 100.0, "separation": 100.0}


def test_distances_within_and_between_add_up_to_the_whole_variance():
    """With shares p: variance = within + sum over pairs of p_i p_j d_ij^2."""
    features, labels = clouds()
    shares = np.bincount(labels) / len(labels)
    found = class_distances(features, labels)
    pairs = (1 - (shares**2).sum()) / 2
    whole = ((features - features.mean(0)) ** 2).sum(1).mean()
    assert found["within"] + pairs * found["between"] == pytest.approx(whole, abs=1e-9)


def test_classes_further_apart_are_coarser():
    near, far = (class_distances(*clouds(apart=apart)) for apart in (1, 5))
    assert far["separation"] > near["separation"]
    assert nearest_mean_margin(*clouds(apart=5))["margin"] > nearest_mean_margin(
        *clouds(apart=1))["margin"]  # fmt: skip


def test_one_class_has_no_distance_between():
    found = class_distances(np.ones((3, 2)), np.zeros(3, int))
    assert found["within"] == 0
    assert np.isnan([found["between"], found["separation"]]).all()
    assert np.isnan(nearest_mean_margin(np.ones((3, 2)), np.zeros(3, int))["margin"])


def test_margins_leave_each_image_out_of_its_own_mean():
    features, labels = clouds(n=30, apart=1)
    margins, right = [], []
    for k in range(30):
        rest = np.arange(30) != k
        means = NearestCentroid().fit(features[rest], labels[rest]).centroids_
        distances = np.linalg.norm(means - features[k], axis=1)
        own, other = distances[labels[k]], np.delete(distances, labels[k]).min()
        margins.append((other - own) / (other + own))
        right.append(other > own)
    found = nearest_mean_margin(features, labels)
    assert found["margin"] == pytest.approx(np.mean(margins), abs=1e-9)
    assert found["accuracy"] == pytest.approx(np.mean(right))


def test_a_class_of_one_image_has_no_margin_of_its_own():
    features = np.array([[0.0], [1.0], [10.0]])
    found = nearest_mean_margin(features, np.array([0, 0, 1]))
    # Leave-one-out means: 1 for the image at 0, 0 for the image at 1; the other mean is 10.
    assert found["margin"] == pytest.approx(np.mean([(10 - 1) / 11, (9 - 1) / 10]))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_intrinsic_dimension_of_a_flat_sheet_is_its_own(dimension):
    generator = np.random.default_rng(0)
    sheet = generator.uniform(size=(1500, dimension)) @ generator.normal(size=(dimension, 20))
    assert intrinsic_dimension(sheet) == pytest.approx(dimension, rel=0.15)


def test_the_intrinsic_dimension_does_not_depend_on_scale_or_copies():
    points = np.random.default_rng(0).normal(size=(300, 3))
    expected = intrinsic_dimension(points)
    assert intrinsic_dimension(1000 * points + 7) == pytest.approx(expected, rel=1e-6)
    assert intrinsic_dimension(np.tile(points, (2, 1))) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(intrinsic_dimension(points[:5]))


def test_the_finest_stripes_are_all_detail_and_broad_ones_none():
    x = np.arange(32)
    for wave, expected in ((np.cos(np.pi * x), 1.0), (np.cos(2 * np.pi * x / 16), 0.0)):
        image = np.broadcast_to(128 + 100 * wave[None, None, :, None], (2, 32, 32, 3))
        assert high_frequency_energy(image) == pytest.approx(expected, abs=1e-12)


def test_white_noise_has_the_share_of_frequencies_that_are_high():
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3)).astype(np.uint8)
    grid = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
    assert high_frequency_energy(images) == pytest.approx((grid > 0.25).mean(), abs=0.01)


def test_a_picture_of_one_colour_has_no_detail():
    assert high_frequency_energy(np.full((1, 8, 8, 3), 77, np.uint8)) == 0


def test_all_measures_are_finite_on_ordinary_data():
    features, labels = clouds()
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    assert np.isfinite(list(measures(features, labels, images).values())).all()


def test_the_leave_one_out_error_equals_scikit_learn():
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    predicted = cross_val_predict(LinearRegression(), x[:, None], y, cv=LeaveOneOut())
    assert leave_one_out_error(x, y) == pytest.approx(np.abs(y - predicted).mean(), abs=1e-9)


def test_a_measure_without_spread_predicts_the_mean_of_the_others():
    y = np.array([1.0, 2.0, 6.0])
    assert leave_one_out_error(np.ones(3), y) == pytest.approx(np.mean([3, 1.5, 4.5]))
    assert error_of_median(y) == pytest.approx(np.mean([3, 1.5, 4.5]))
    assert np.isnan(leave_one_out_error(y[:2], y[:2]))


def test_best_epsilons_are_places_in_the_grid_averaged_over_architectures():
    rows = []
    for architecture, dataset, best in (("a", "x", 3), ("b", "x", 0.1), ("a", "y", 0)):
        rows += [
            {"architecture": architecture, "source": "s", "norm": "l2", "epsilon": epsilon,
             "dataset": dataset, "resolution": "native", "mode": "full", "protocol": "clean",
             "metric": "top1", "origin": "run", "accuracy": 0.9 if epsilon == best else 0.5}
            for epsilon in (0, 0.1, 3)
        ]  # fmt: skip
    found = best_epsilons(make_table(rows, ACCURACY))
    assert found.to_dict() == {"x": 1.5, "y": 0.0}


def test_the_better_predictor_comes_first_and_missing_measures_do_not_count():
    generator = np.random.default_rng(0)
    datasets = [f"d{k}" for k in range(8)]
    best = {name: float(k % 5) for k, name in enumerate(datasets)}
    given = {name: {"good": best[name] + 0.01 * generator.normal(), "noise": generator.normal(),
                    "rare": 1.0 if name == "d0" else np.nan} for name in datasets}  # fmt: skip
    table = prediction_table(given, make_series(best), confidence=0.95)
    assert table["measure"].iloc[0] == "good"
    assert table["gain"].iloc[0] > 0.9
    rare = table[table["measure"] == "rare"]
    assert (rare["n"].item(), rare["note"].item()) == (1, "n of 1: a correlation needs 3")


def make_series(values):
    import pandas as pd

    return pd.Series(values)


# The tables


@pytest.fixture(scope="module")
def measured_dataset(tmp_path_factory):
    """A cache of the toy world's digits, and the pixels' means as features of it."""
    folder = tmp_path_factory.mktemp("digits")
    definition = {"name": "digits", "kind": "toy", "alphabet": "digits", "size": 16,
                  "n_train": 40, "n_test": 10, "seed": 0, "grating": 0.0}  # fmt: skip
    build_cache(definition, "native", folder, data_root=folder, on_bad_image="stop")
    cache = load_cache(folder)
    features = cache.images[:].mean(axis=1).reshape(50, -1).astype(np.float32)
    write_features(folder, features, images=50, training_images=40)
    return folder, features


def write_features(folder, features, **about):
    """Kept features and their record."""
    np.save(folder / "features.npy", features)
    record = {"schema_version": 1, "image_size": 16, "backbone": "b"} | about
    write_json(folder / "features.json", record)


def table_of(features, cache, **how):
    return granularity_table([features / "features.json"], [cache], **how)


def test_the_table_of_measures_has_those_of_the_training_images(measured_dataset):
    folder, features = measured_dataset
    (row,) = table_of(folder, folder).to_dict("records")
    labels = np.asarray(load_cache(folder).labels)[:40]
    images = load_cache(folder).images[:40]
    for name, value in measures(features[:40], labels, images).items():
        assert row[name] == pytest.approx(value, abs=1e-9)
    assert (row["dataset"], row["resolution"], row["images"]) == ("digits", "native", 40)


def test_of_many_images_the_same_few_are_measured(measured_dataset):
    folder, _ = measured_dataset
    one, two = (table_of(folder, folder, most=12) for _ in range(2))
    assert one["images"].tolist() == [12]
    pd.testing.assert_frame_equal(one, two)


def test_features_of_other_images_are_refused(measured_dataset, tmp_path):
    folder, features = measured_dataset
    write_features(tmp_path, features, images=50, training_images=30)
    with pytest.raises(DataError, match="not features of the images"):
        table_of(tmp_path, folder)


def test_no_dataset_gives_empty_tables_of_measures_and_predictions():
    table = granularity_table([], [])
    points = granularity_points(make_table([], ACCURACY), table)
    assert len(table) == len(points) == len(granularity_predictions(points, confidence=0.95)) == 0


def test_a_measure_that_orders_the_best_epsilons_predicts_them():
    generator = np.random.default_rng(0)
    rows, measured = [], []
    for k in range(6):
        best = [0, 0.5, 1][k // 2]
        noise = dict.fromkeys(MEASURES, generator.uniform())
        measured.append({"dataset": f"d{k}", "resolution": "native", "backbone": "b", **noise,
                         "separation": k // 2})  # fmt: skip
        place = {"architecture": "a", "source": "s", "norm": "l2", "dataset": f"d{k}",
                 "resolution": "native", "mode": "fixed", "protocol": "clean", "origin": "run",
                 "accuracy": 0.5}  # fmt: skip
        rows += [place | {"epsilon": epsilon, "validation_accuracy": 0.9 - abs(epsilon - best)}
                 for epsilon in (0, 0.5, 1)]  # fmt: skip
    table = make_table(measured, COLUMNS)
    points = granularity_points(make_table(rows, ACCURACY), table)
    assert points["best_epsilon_place"].tolist() == [0, 0, 1, 1, 2, 2]
    found = granularity_predictions(points, confidence=0.95)
    assert found["measure"].iloc[0] == "separation"
    assert found["error"].iloc[0] == pytest.approx(0, abs=1e-12)
    assert found["gain"].iloc[0] == pytest.approx(1)
