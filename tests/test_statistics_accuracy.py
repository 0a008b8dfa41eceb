"""accuracy.csv holds what predictions say, and published numbers only where they are sound."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.errors import DataError
from robust_transfer.statistics.accuracy import accuracy_table, read_external
from robust_transfer.statistics.notes import NOTED, noted
from robust_transfer.statistics.tables import ACCURACY, make_table, read_table, write_table
from robust_transfer.transfer.predictions import Predictions, save_predictions

HEAD = "architecture,norm,epsilon,dataset,mode,accuracy,origin\n"


def backbone(folder, name="net-l2-0.25-seed0", **changes):
    record = {"backbone": name, "source_accuracy": 0.9, "schema_version": 1,
              "source_robust_accuracy": {"0.25": 0.66, "0.5": 0.31}}  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record | changes))
    return path


def transfer(folder, seed=0, metric="top1", right=7, n=10, **changes):
    """A run of which `right` of `n` images are right, all in class 0 but the last."""
    labels = np.array([0] * (n - 1) + [1])
    predicted = np.where(np.arange(n) < right, labels, 1 - labels)
    home = folder / f"seed{seed}"
    save_predictions(home / "predictions.npz", Predictions(
        np.arange(n), labels, np.eye(2, dtype=np.float32)[predicted]))  # fmt: skip
    record = {
        "backbone": "net-l2-0.25-seed0", "architecture": "net", "source": "letters", "norm": "l2",
        "epsilon": 0.25, "pretrain_seed": 0, "dataset": "digits", "resolution": "32",
        "mode": "fixed", "protocol": "clean", "label_budget": "all", "trainable_blocks": "all",
        "transfer_seed": seed, "metric": metric,
        "classes": 2, "validation_accuracy": 0.8, "selected": "penalty=1e-3",
        "selected_on": "validation", "seconds": 1.5, "images_through_network": 100,
        "peak_memory_bytes": 2**31, "device": "cpu", "schema_version": 1,
    } | changes  # fmt: skip
    (home / "transfer.json").write_text(json.dumps(record))
    return home / "predictions.npz", home / "transfer.json"


def table_of(folder, runs, external=()):
    predictions, records = zip(*runs, strict=True) if runs else ((), ())
    return accuracy_table(predictions, records, [backbone(folder)], external)


def test_a_row_says_what_its_predictions_and_records_say(tmp_path):
    table = table_of(tmp_path, [transfer(tmp_path, seed=3)])
    assert tuple(table.columns) == ACCURACY
    (row,) = table.to_dict("records")
    expected = {
        "architecture": "net", "epsilon": 0.25, "resolution": "32", "transfer_seed": 3,
        "n_test": 10, "accuracy": 0.7, "top1": 0.7, "mean_per_class": 7 / 9 / 2, "origin": "run",
        "source_accuracy": 0.9, "source_robust_accuracy": "0.25=0.66;0.5=0.31", "classes": 2,
        "peak_memory_bytes": 2**31, "selected": "penalty=1e-3", "validation_accuracy": 0.8,
    }  # fmt: skip
    assert {key: row[key] for key in expected} == pytest.approx(expected)


def test_the_metric_of_the_dataset_is_the_accuracy(tmp_path):
    table = table_of(tmp_path, [transfer(tmp_path, metric="mean_per_class")])
    assert table["accuracy"].item() == table["mean_per_class"].item() == pytest.approx(7 / 18)


def test_what_transfers_noted_is_counted_by_place(tmp_path):
    single, constant = "2 classes have a single image: trained on, not held out", "all constant"
    runs = [transfer(tmp_path / "a", 0, notes=[single, constant]),
            transfer(tmp_path / "a", 1, notes=[single]), transfer(tmp_path / "a", 2),
            transfer(tmp_path / "b", 0, notes=[single], mode="full")]  # fmt: skip
    write_table(tmp_path / "accuracy.csv", table_of(tmp_path, runs))
    found = noted(read_table(tmp_path / "accuracy.csv"))
    assert found[["mode", "note", "n"]].to_numpy().tolist() == [
        ["fixed", single, 2], ["fixed", constant, 1], ["full", single, 1],
    ]  # fmt: skip


def test_notes_that_differ_in_numbers_alone_are_one_kind(tmp_path):
    runs = [transfer(tmp_path, seed, notes=[f"{n} of 16 features are constant and count as 0"])
            for seed, n in enumerate((3, 12, 3))]  # fmt: skip
    (row,) = noted(table_of(tmp_path, runs)).to_dict("records")
    assert row["note"] == "\u2026 of 16 features are constant and count as 0"
    assert row["n"] == 3


def test_where_nothing_was_noted_the_table_is_empty(tmp_path):
    assert list(noted(table_of(tmp_path, [transfer(tmp_path)])).columns) == list(NOTED)
    assert noted(table_of(tmp_path, [])).empty


def test_rows_are_sorted_whatever_the_order_of_files(tmp_path):
    runs = [transfer(tmp_path, seed) for seed in (2, 0, 1)]
    pd.testing.assert_frame_equal(table_of(tmp_path, runs), table_of(tmp_path, runs[::-1]))
    assert table_of(tmp_path, runs)["transfer_seed"].tolist() == [0, 1, 2]


def test_published_rows_stand_after_ours(tmp_path):
    (tmp_path / "paper.csv").write_text(HEAD + "resnet18,l2,3,cifar10,fixed,0.95,A paper\n")
    table = table_of(tmp_path, [transfer(tmp_path)], [tmp_path / "paper.csv"])
    assert table["origin"].tolist() == ["run", "A paper"]
    assert table["pretrain_seed"].isna().tolist() == [False, True]
    assert table["source_accuracy"].isna().tolist() == [False, True]


def test_a_study_without_any_run_has_an_empty_table(tmp_path):
    assert table_of(tmp_path, []).shape == (0, len(ACCURACY))


def test_the_table_survives_the_disk_exactly(tmp_path):
    (tmp_path / "paper.csv").write_text(HEAD + "resnet18,linf,8/255,cifar10,fixed,0.1,A\n")
    table = table_of(tmp_path, [transfer(tmp_path, right=3, n=7)], [tmp_path / "paper.csv"])
    write_table(tmp_path / "accuracy.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "accuracy.csv"), table, check_exact=True)
    assert table["epsilon"].tolist()[1] == 8 / 255


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_survive_the_disk_to_the_last_bit(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    write_table(path, make_table([{"accuracy": number} for number in numbers], ["accuracy"]))
    assert read_table(path)["accuracy"].tolist() == numbers


def test_a_record_without_a_backbone_is_named(tmp_path):
    run = transfer(tmp_path, backbone="other")
    with pytest.raises(DataError, match=r"transfer\.json: backbone 'other' has no record"):
        table_of(tmp_path, [run])


def test_a_missing_key_is_named(tmp_path):
    predictions, record = transfer(tmp_path)
    content = json.loads(record.read_text())
    del content["mode"]
    record.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"transfer\.json: no 'mode'"):
        table_of(tmp_path, [(predictions, record)])
    record.write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        table_of(tmp_path, [(predictions, record)])
    record.unlink()
    with pytest.raises(DataError, match="no such file"):
        table_of(tmp_path, [(predictions, record)])


def test_the_same_run_twice_is_refused(tmp_path):
    run = transfer(tmp_path)
    with pytest.raises(DataError, match="stands twice"):
        table_of(tmp_path, [run, run])


WRONG = {
    "percent: divide by 100": HEAD + "net,l2,0,digits,fixed,95.5,A\n",
    "row 2, accuracy: -0.1": HEAD + "net,l2,0,digits,fixed,1,A\nnet,l2,0,digits,full,-0.1,A\n",
    "line 2, accuracy: 'good' is not a number": HEAD + "net,l2,0,digits,fixed,good,A\n",
    "Did you mean 'full'": HEAD + "net,l2,0,digits,ful,0.5,A\n",
    "Did you mean 'linf'": HEAD + "net,inf,0,digits,full,0.5,A\n",
    "Did you mean 'accuracy'": HEAD.replace("accuracy", "acuracy") + "n,l2,0,d,full,0.5,A\n",
    "no column 'origin'": HEAD.replace(",origin", "") + "net,l2,0,digits,full,0.5\n",
    "row 1, origin: empty": HEAD + "net,l2,0,digits,full,0.5,\n",
    "is for our own rows": HEAD + "net,l2,0,digits,full,0.5,run\n",
    "epsilon: -1": HEAD + "net,l2,-1,digits,full,0.5,A\n",
    "stands twice": HEAD + "net,l2,0,digits,full,0.5,A\n" * 2,
    "not a CSV table": "",
}


@pytest.mark.parametrize(("message", "content"), WRONG.items())
def test_unsound_published_numbers_are_refused(tmp_path, message, content):
    (tmp_path / "paper.csv").write_text(content)
    with pytest.raises(DataError, match=message) as refused:
        read_external(tmp_path / "paper.csv")
    assert "paper.csv" in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"paper\.csv: no such file"):
        read_external(tmp_path / "paper.csv")


def test_comments_and_other_columns_are_left_out(tmp_path):
    text = "# Table 2 of a paper\n" + HEAD.replace("\n", ",page\n") + "n,l2,0,d,full,0.5,A,p. 3\n"
    (tmp_path / "paper.csv").write_text(text)
    table = read_external(tmp_path / "paper.csv")
    assert tuple(table.columns) == ACCURACY
    assert table["accuracy"].tolist() == [0.5]
