"""Average precision of detectors: the table, and the tests of robust against standard."""

import detection_scores as made
import numpy as np
import pandas as pd
import pytest
from robust_transfer.audit import second_tests
from robust_transfer.audit.statistics import compared, detectors_tested, read_rows
from robust_transfer.errors import DataError
from robust_transfer.figures.detection import detection_cells
from robust_transfer.figures.results import complete
from robust_transfer.statistics.detection import DETECTION, compared_rows, detection_table
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.tables import make_table, read_table, write_table
from robust_transfer.statistics.welch import COLUMNS, welch_table
from scipy import stats


@pytest.fixture
def table(tmp_path):
    scores, records, _ = made.write_scores(tmp_path)
    return detection_table(scores, records)


def test_the_table_has_a_row_for_each_detector_and_metric(table):
    assert list(table.columns) == list(DETECTION)
    assert len(table) == len(made.BODIES) * 2 * len(made.METRICS)
    assert not table.duplicated(["backbone", "transfer_seed", "metric"]).any()
    assert table[table["metric"] == "box_ap_large"]["accuracy"].isna().all()


def test_a_study_without_detectors_has_an_empty_table_that_survives_the_disk(tmp_path):
    write_table(tmp_path / "detection.csv", detection_table([], []))
    read = read_table(tmp_path / "detection.csv")
    assert list(read.columns) == list(DETECTION)
    assert read.empty
    both = pd.concat([make_table([], DETECTION), compared_rows(read)], ignore_index=True)
    assert welch_table(both, confidence=0.95).empty


def test_a_detector_of_an_unknown_backbone_is_named(tmp_path):
    scores, records, _ = made.write_scores(tmp_path)
    with pytest.raises(
        DataError, match=r"backbone 'resnet_small-letters-l2-eps0-seed0' has no rec"
    ):
        detection_table(scores, records[1:])


def test_robust_meets_standard_over_pretrainings_and_no_control_is_counted(table):
    welch = welch_table(main_rows(compared_rows(table)), confidence=0.95)
    assert list(welch["metric"]) == ["box_ap", "mask_ap"]
    assert set(welch["replicate"]) == {"pretrain_seed"}
    row = welch.iloc[0]
    values = table[(table["metric"] == "box_ap") & (table["source"] == "letters")]
    means = values.groupby(["epsilon", "pretrain_seed"])["accuracy"].mean()
    again = stats.ttest_ind(means[0.1], means[0.0], equal_var=False)
    assert row["p_value"] == pytest.approx(again.pvalue, rel=1e-9)
    assert row["difference"] == pytest.approx(means[0.1].mean() - means[0.0].mean(), rel=1e-12)


def test_the_tests_of_detectors_are_a_family_of_their_own(table):
    accuracy = table[table["metric"] == "box_ap"].assign(
        mode="fixed", protocol="clean", metric="top1"
    )
    both = pd.concat([accuracy, compared_rows(table)], ignore_index=True)
    welch = welch_table(main_rows(both), confidence=0.95)
    families = welch.groupby("protocol")["family"].first()
    assert families["detection"] == "all 2 tests of protocol detection, origin run"
    assert families["clean"] == "all 1 tests of protocol clean, origin run"
    tables = complete({"welch": welch})
    assert set(tables["welch"]["protocol"]) == {"clean"}
    assert len(tables["detection_welch"]) == 2


def test_the_audit_computes_the_same_tests_by_its_own_means(table, tmp_path):
    write_table(tmp_path / "detection.csv", table)
    rows = detectors_tested(read_rows(tmp_path / "detection.csv"))
    again = second_tests.welch_tests(rows, 0.95)
    welch = welch_table(main_rows(compared_rows(table)), confidence=0.95)
    write_table(tmp_path / "welch.csv", welch)
    keys = (*second_tests.COMPARED, "epsilon")
    values, wrong = compared(read_rows(tmp_path / "welch.csv"), again, keys)
    assert values > 20
    assert wrong == []
    assert set(COLUMNS) >= set(again[0])


def test_a_cell_averages_its_pretrainings_and_a_single_detector_keeps_its_interval(table):
    cells = detection_cells(table, 0.95).set_index(["source", "epsilon", "metric"])
    rows = table[(table["metric"] == "box_ap") & (table["source"] == "letters")]
    mean = rows[rows["epsilon"] == 0.1]["accuracy"].mean()
    assert cells.loc[("letters", 0.1, "box_ap"), "mean"] == pytest.approx(mean)
    assert cells.loc[("letters", 0.1, "box_ap"), "n"] == 2
    alone = table[(table["backbone"] == made.backbone_name("letters", 0.0, 0))
                  & (table["transfer_seed"] == 0)]  # fmt: skip
    cell = detection_cells(alone, 0.95).set_index("metric").loc["box_ap"]
    assert cell["replicate"] == "none"
    width = cell[["ci_high", "ci_low"]].astype(float).to_numpy() - cell["mean"]
    assert np.allclose(width, [0.05, -0.05])
    assert np.isnan(cell["box_ap_large"])
