"""Recommendations say what a bootstrap by hand says, and choose on validation alone."""

import json

import numpy as np
import pytest
from robust_transfer.errors import DataError
from robust_transfer.statistics.accuracy import accuracy_table
from robust_transfer.statistics.recommendation import Candidate, image_weights, recommend
from robust_transfer.statistics.recommendation_table import COLUMNS, recommendation_table
from robust_transfer.statistics.right_images import right_images
from robust_transfer.transfer.metrics import mean_per_class
from robust_transfer.transfer.predictions import Predictions, save_predictions


def candidate(shares, images=400, seed=0, pretrain_seeds=None):
    generator = np.random.default_rng(seed)
    right = np.array([generator.random(images) < share for share in shares], dtype=float)
    return Candidate(np.arange(len(shares)) if pretrain_seeds is None else pretrain_seeds, right)


def test_a_clear_winner_is_surely_the_best_and_costs_no_regret():
    table = recommend({"weak": candidate([0.6] * 3), "strong": candidate([0.9] * 3, seed=1)},
                      confidence=0.95)  # fmt: skip
    assert table["candidate"].tolist() == ["strong", "weak"]
    assert table["probability_best"].tolist() == [1.0, 0.0]
    assert table["regret"].iloc[0] == 0
    assert table["regret"].iloc[1] == pytest.approx(0.3, abs=0.05)


def test_equal_candidates_share_the_probability():
    same = candidate([0.8] * 3)
    table = recommend({"a": same, "b": same}, confidence=0.95, draws=4000)
    assert table["probability_best"].sum() == pytest.approx(1)
    assert table["probability_best"].tolist() == pytest.approx([0.5, 0.5], abs=0.03)


def test_a_single_run_has_the_interval_of_a_share_of_images():
    one = candidate([0.8], images=1000)
    share = one.right.mean()
    (row,) = recommend({"a": one}, confidence=0.95, draws=6000).to_dict("records")
    half = 1.96 * (share * (1 - share) / 1000) ** 0.5
    assert row["ci_low"] == pytest.approx(share - half, abs=0.003)
    assert row["ci_high"] == pytest.approx(share + half, abs=0.003)
    assert (row["unit"], row["probability_best"]) == ("none", 1.0)


def test_the_spread_of_the_bootstrap_is_that_of_replicates_and_images():
    """Variance of a mean of k drawn replicates: spread^2 / k, and of images beside."""
    many = candidate(np.random.default_rng(0).normal(0.7, 0.05, 8), images=5000)
    scores = many.right.mean(axis=1)
    (row,) = recommend({"a": many}, confidence=0.95, draws=6000).to_dict("records")
    images = many.right.mean(axis=0).var() / 5000
    sd = (scores.var() / 8 + images) ** 0.5
    assert (row["ci_high"] - row["ci_low"]) / (2 * 1.96) == pytest.approx(sd, rel=0.1)


def test_runs_of_one_pretraining_vary_less_than_pretrainings():
    shares = [0.5, 0.5, 0.9, 0.9]
    nested = candidate(shares, images=5000, pretrain_seeds=np.array([0, 0, 1, 1]))
    flat = Candidate(np.arange(4), nested.right)
    widths = []
    for each in (nested, flat):
        (row,) = recommend({"a": each}, confidence=0.95).to_dict("records")
        widths.append(row["ci_high"] - row["ci_low"])
    assert widths[0] > widths[1]
    assert widths[0] == pytest.approx(0.4, abs=0.05)  # both of the same pretraining


def test_images_are_drawn_for_all_candidates_alike():
    """b is right wherever a is, and on 20 images more: it is better in every draw but few."""
    a = candidate([0.7], images=500)
    more = a.right.copy()
    more[0, np.flatnonzero(more[0] == 0)[:20]] = 1
    table = recommend({"a": a, "b": Candidate(np.zeros(1), more)}, confidence=0.95)
    assert table["candidate"].iloc[0] == "b"
    assert table["probability_best"].iloc[0] == 1.0


def test_weights_give_the_mean_per_class():
    generator = np.random.default_rng(0)
    labels = generator.choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    logits = generator.normal(size=(200, 4))
    right = (logits.argmax(1) == labels)[None].astype(float)
    weights = image_weights(labels, "mean_per_class")
    (row,) = recommend(
        {"a": Candidate(np.zeros(1), right)}, confidence=0.95, weights=weights
    ).to_dict("records")
    assert row["accuracy"] == pytest.approx(mean_per_class(logits, labels), abs=1e-12)
    assert weights.mean() == pytest.approx(1)


def test_the_same_seed_gives_the_same_table_and_memory_is_bounded(monkeypatch):
    given = {"a": candidate([0.7, 0.8]), "b": candidate([0.75, 0.7], seed=1)}
    one = recommend(given, confidence=0.95, draws=100)
    assert one.equals(recommend(given, confidence=0.95, draws=100))
    monkeypatch.setattr("robust_transfer.statistics.recommendation.CHUNK", 4000)
    pieces = recommend(given, confidence=0.95, draws=100)
    assert pieces["accuracy"].equals(one["accuracy"])


def test_nothing_to_recommend_and_different_images_are_refused():
    with pytest.raises(DataError, match="at least one"):
        recommend({}, confidence=0.95)
    with pytest.raises(DataError, match="different numbers"):
        recommend({"a": candidate([0.5], 10), "b": candidate([0.5], 11)}, confidence=0.95)


def run(folder, epsilon, seed, share, validation, shuffle=False, **changes):
    generator = np.random.default_rng(100 * seed + int(10 * epsilon))
    labels = np.arange(300) % 3
    predicted = np.where(generator.random(300) < share, labels, (labels + 1) % 3)
    order = generator.permutation(300) if shuffle else np.arange(300)
    home = folder / f"{epsilon}-{seed}"
    save_predictions(home / "predictions.npz", Predictions(
        1000 + order, labels[order], np.eye(3, dtype=np.float32)[predicted[order]]))  # fmt: skip
    (home / "transfer.json").write_text(json.dumps({
        "backbone": "net", "label_budget": "all", "trainable_blocks": "all",
        "transfer_seed": seed, "source": "letters", "architecture": "net", "norm": "l2",
        "epsilon": epsilon,
        "mode": "fixed", "dataset": "digits", "resolution": "native", "protocol": "clean",
        "metric": "top1", "pretrain_seed": 0, "validation_accuracy": validation, "seconds": 2,
        "images_through_network": 10,
    } | changes))  # fmt: skip
    return home / "predictions.npz", home / "transfer.json"


def recommended(runs):
    """The recommendations of runs, by way of the tables that the workflow makes of them."""
    files = tuple(zip(*runs, strict=True)) or ((), ())
    home = files[0][0].parent.parent if runs else None
    backbones = sorted({json.loads(path.read_text())["backbone"] for path in files[1]})
    records = []
    for name in backbones:
        records.append(home / f"{name}.json")
        records[-1].write_text(json.dumps({"backbone": name, "source_accuracy": 0.5}))
    accuracy = accuracy_table(*files, records)
    return recommendation_table(accuracy, right_images(accuracy, *files), confidence=0.95)


def test_validation_recommends_and_the_test_split_says_how_good_that_is(tmp_path):
    runs = [run(tmp_path, 0, seed, 0.9, 0.6, shuffle=True) for seed in (0, 1)]
    runs += [run(tmp_path, 0.5, seed, 0.7, 0.8) for seed in (0, 1)]
    table = recommended(runs)
    assert tuple(table.columns) == COLUMNS
    assert table["epsilon"].tolist() == [0, 0.5]
    assert table["recommended"].tolist() == [0, 1]
    assert table["probability_best"].tolist() == [1, 0]
    assert set(table["unit"]) == {"transfer_seed"}
    assert table["images"].tolist() == [300, 300]
    assert table["seconds"].tolist() == [2, 2]


def test_without_validation_the_best_on_test_is_recommended(tmp_path):
    runs = [run(tmp_path, epsilon, 0, 0.9 - epsilon / 2, None) for epsilon in (0.5, 0)]
    table = recommended(runs)
    assert table["recommended"].tolist() == [1, 0]


def test_runs_on_other_images_are_refused(tmp_path):
    runs = [run(tmp_path, 0, 0, 0.9, 0.6), run(tmp_path, 0.5, 0, 0.9, 0.6)]
    save_predictions(runs[1][0], Predictions(
        np.arange(300), np.arange(300) % 3, np.zeros((300, 3))))  # fmt: skip
    with pytest.raises(DataError, match="scored on other images"):
        recommended(runs)


def test_no_runs_give_an_empty_table():
    assert len(recommended([])) == 0
