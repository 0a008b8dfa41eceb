"""Parts of the audit by themselves: claims, comparison of files, look-alikes, the verdict."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from robust_transfer.audit.checks import FAIL, PASS, WARN, Check, verdict
from robust_transfer.audit.claims import Claim, judge, read_claims
from robust_transfer.audit.compare import compare_files
from robust_transfer.audit.near_duplicates import near_duplicates
from robust_transfer.errors import ConfigError
from robust_transfer.records.machine import packages
from robust_transfer.records.provenance import seeds_in
from safetensors.numpy import save_file


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [([], PASS), ([PASS, PASS], PASS), ([PASS, WARN], WARN), ([WARN, FAIL, PASS], FAIL)],
)
def test_the_verdict_is_the_worst_status(statuses, worst):
    assert verdict(Check("data", status, "x", "y") for status in statuses) == worst


ROW = {
    "mode": "fixed", "dataset": "digits", "epsilon": 0.25, "difference": 0.02, "ci_low": 0.005,
    "ci_high": 0.035, "accuracy": 0.9, "resolution": "32",
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"quantity": "difference", "at_least": 0}, PASS),
        ({"quantity": "difference", "at_least": 0.01}, WARN),
        ({"quantity": "difference", "at_least": 0.04}, FAIL),
        ({"quantity": "difference", "at_most": 0.04}, PASS),
        ({"quantity": "difference", "at_most": 0}, FAIL),
        ({"quantity": "accuracy", "equals": 0.905, "tolerance": 0.01}, PASS),
        ({"quantity": "accuracy", "equals": 0.95, "tolerance": 0.01}, FAIL),
        ({"quantity": "accuracy", "at_least": 0.91}, FAIL),
        ({"quantity": "acuracy", "at_least": 0.91}, FAIL),
    ],
)
def test_a_claim_is_borne_out_undecided_or_contradicted(said, status):
    claim = Claim(name="x", table="welch", where={"epsilon": "1/4", "resolution": 32}, **said)
    found = judge(claim, [ROW, ROW | {"epsilon": 0.5, "accuracy": 0.0}], "welch.csv")
    assert found.status == status, found.evidence


def test_a_claim_about_rows_that_are_not_there_fails_and_says_so():
    claim = Claim(name="x", table="welch", where={"dataset": "greek"}, quantity="accuracy",
                  at_least=0)  # fmt: skip
    found = judge(claim, [ROW], "welch.csv")
    assert found.status == FAIL
    assert "no accuracy for dataset greek" in found.evidence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims: [{name: x, table: welch, where: {}, quantity: r}]", "say at_least"),
        ("claims: [{name: x, table: wlch, where: {}, quantity: r, at_least: 0}]", "claims.0.table"),
        ("claims: [{name: x, table: welch, where: {}, quantity: r, equals: 0}]", "tolerance"),
        ("claims: {", "not YAML"),
    ],
)
def test_a_wrong_file_of_claims_is_refused_with_its_place(tmp_path, text, words):
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_claims(tmp_path / "claims.yaml")


def test_clocks_and_memory_may_differ_and_nothing_else(tmp_path):
    for name, record in {
        "a": {"accuracy": 0.5, "seconds": 1.0, "peak_memory_bytes": 5},
        "b": {"accuracy": 0.5, "seconds": 2.0, "peak_memory_bytes": 6},
        "c": {"accuracy": 0.51, "seconds": 1.0},
        "d": {"accuracy": 0.9, "seconds": 1.0, "peak_memory_bytes": 5},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
        header, row = ",".join(record), ",".join(map(str, record.values()))
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{row}\n")
    for suffix in ("json", "csv"):
        first, second, near, far = (tmp_path / f"{name}.{suffix}" for name in "abcd")
        assert compare_files(first, second).same
        assert "seconds" in compare_files(first, second).words
        found = compare_files(first, near)
        assert (found.same, found.near) == (False, True)
        assert compare_files(first, far).near is False
        assert "0.4" in compare_files(first, far).words


def test_arrays_are_compared_bit_for_bit_and_their_distance_is_told(tmp_path):
    base = np.linspace(1, 2, 40, dtype=np.float32).reshape(10, 4)
    for name, array in {"a": base, "b": base + np.float32(0.01), "c": base[:, ::-1] * 3}.items():
        np.savez(tmp_path / f"{name}.npz", logits=array)
        save_file({"w": np.ascontiguousarray(array)}, tmp_path / f"{name}.safetensors",
                  {"recipe": '{"seconds": 1}'})  # fmt: skip
    for suffix in ("npz", "safetensors"):
        one, near, far = (tmp_path / f"{name}.{suffix}" for name in "abc")
        assert compare_files(one, one).words == "identical bytes"
        found = compare_files(one, near)
        assert (found.same, found.near) == (False, True)
        assert "0.01 at most" in found.words
        assert compare_files(one, far).near is False
    assert "100.00% of images" in compare_files(tmp_path / "a.npz", tmp_path / "c.npz").words
    assert compare_files(tmp_path / "a.npz", tmp_path / "none.npz").words == "was not made"


def a_cache(images, n_train):
    splits = {"train": np.arange(n_train), "test": np.arange(n_train, len(images))}
    return SimpleNamespace(image=lambda row: images[row], split=splits.get)


def smooth(rng, n):
    """Coloured noise: pictures that differ."""
    return np.kron(rng.integers(0, 256, (n, 6, 6, 3)), np.ones((1, 6, 6, 1))).astype(np.uint8)


def test_look_alikes_are_found_and_different_pictures_are_not():
    rng = np.random.default_rng(0)
    train, test = smooth(rng, 300), smooth(rng, 100)
    assert near_duplicates(a_cache(np.concatenate([train, test]), 300)) == ([], 400)
    test[7] = np.clip(train[40] + rng.normal(0, 3, train[40].shape), 0, 255)  # recompressed
    test[9] = np.clip(train[41].astype(float) + 2, 0, 255)  # brightened
    pairs, _ = near_duplicates(a_cache(np.concatenate([train, test]), 300))
    assert pairs == [(40, 307), (41, 309)]


def test_flat_images_are_no_look_alikes():
    images = np.full((20, 32, 32, 3), 7, np.uint8)
    assert near_duplicates(a_cache(images, 10))[0] == []


def test_packages_are_known_by_normal_names_without_opening_their_files():
    assert packages()["scikit-learn"]
    assert packages()["numpy"] == np.__version__


def test_seeds_are_found_at_any_depth():
    params = {"settings": {"backbone": {"seed": 3}, "seeds": [0, 1]}, "pretrain_seed": 2}
    assert dict(seeds_in(params)) == {
        "settings.backbone.seed": 3, "settings.seeds": [0, 1], "pretrain_seed": 2,
    }  # fmt: skip
