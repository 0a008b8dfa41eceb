"""Scores equal scikit-learn's, or closed forms."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.errors import ConfigError
from robust_transfer.transfer.metrics import (
    calibration_error,
    log_loss,
    mean_per_class,
    score,
    top1,
)
from sklearn import metrics as oracle


def draw(seed, n=60, classes=5, scale=2.0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=scale, size=(n, classes)).astype(np.float32)
    return logits, generator.integers(0, classes, n)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(2, 9))
def test_accuracies_and_log_loss_equal_scikit_learn(seed, n, classes):
    logits, labels = draw(seed, n, classes)
    wide = logits.astype(np.float64)
    probability = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    predicted = logits.argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # predicted classes absent from the labels
        balanced = oracle.balanced_accuracy_score(labels, predicted)
    assert top1(logits, labels) == oracle.accuracy_score(labels, predicted)
    assert mean_per_class(logits, labels) == pytest.approx(balanced, abs=1e-12)
    assert log_loss(logits, labels) == pytest.approx(
        oracle.log_loss(labels, probability, labels=range(classes)), abs=1e-12)  # fmt: skip


def calibration_by_hand(logits, labels, bins=15):
    """Bin by bin, as in Guo et al. 2017, equation 3."""
    wide = logits.astype(np.float64)
    probability = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    confidence, right = probability.max(1), probability.argmax(1) == labels
    total = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("seed", range(10))
def test_calibration_error_equals_its_definition(seed):
    logits, labels = draw(seed, n=300, scale=3.0)
    assert calibration_error(logits, labels) == pytest.approx(
        calibration_by_hand(logits, labels), abs=1e-12)  # fmt: skip


def test_balanced_classes_make_both_accuracies_equal():
    logits, _ = draw(1)
    labels = np.arange(60) % 5
    assert mean_per_class(logits, labels) == pytest.approx(top1(logits, labels), abs=1e-12)


def test_mean_per_class_weighs_images_as_the_reference_code_does():
    """Each right image counts n / (images of its class * classes)."""
    logits, labels = draw(2)
    right = logits.argmax(1) == labels
    weights = len(labels) / (np.bincount(labels)[labels] * 5)
    assert mean_per_class(logits, labels) == pytest.approx((right * weights).mean(), abs=1e-12)


def test_classes_without_test_images_do_not_count():
    logits = np.eye(5, dtype=np.float32)[[0, 0, 1, 2]]
    assert mean_per_class(logits, np.array([0, 0, 1, 4])) == pytest.approx(2 / 3)


def test_sure_and_right_is_perfect():
    logits = 1000 * np.eye(4, dtype=np.float32)
    labels = np.arange(4)
    assert (top1(logits, labels), mean_per_class(logits, labels)) == (1.0, 1.0)
    assert (log_loss(logits, labels), calibration_error(logits, labels)) == (0.0, 0.0)


def test_sure_and_wrong_has_the_margin_as_loss_and_no_calibration():
    logits = np.array([[1000, 0]], dtype=np.float32)
    assert log_loss(logits, np.array([1])) == 1000.0
    assert calibration_error(logits, np.array([1])) == 1.0


def test_a_row_that_is_not_finite_counts_as_wrong():
    logits = np.array([[np.nan, 0], [1, 0]], dtype=np.float32)
    assert top1(logits, np.array([0, 0])) == 0.5


def test_a_constant_added_to_a_row_changes_nothing():
    logits, labels = draw(3)
    moved = logits.astype(np.float64) + np.linspace(-50, 50, len(labels))[:, None]
    for metric in (top1, mean_per_class, log_loss, calibration_error):
        assert metric(moved, labels) == pytest.approx(metric(logits, labels), abs=1e-9)


def test_score_knows_its_metrics():
    logits, labels = draw(4)
    assert score("top1", logits, labels) == top1(logits, labels)
    assert score("mean_per_class", logits, labels) == mean_per_class(logits, labels)
    with pytest.raises(ConfigError, match="Did you mean 'top1'"):
        score("top", logits, labels)
