"""Statistics count the main transfers alone: tables and the audit agree on which."""

import numpy as np
import pandas as pd
import pytest
from robust_transfer.audit.statistics import counted
from robust_transfer.statistics.main_rows import main_rows
from test_statistics_accuracy import transfer
from test_statistics_recommendation import recommended

MAIN = {"label_budget": "all", "trainable_blocks": "all", "source": "letters", "accuracy": 0.5}
ROWS = [
    (MAIN, True),
    (MAIN | {"label_budget": "5"}, False),
    (MAIN | {"trainable_blocks": "2"}, False),
    (MAIN | {"source": "none"}, False),
    (MAIN | {"label_budget": None, "trainable_blocks": None}, True),  # published tables
    (MAIN | {"source": None}, True),
]


@pytest.mark.parametrize(("row", "kept"), ROWS)
def test_main_are_all_labels_all_that_a_mode_trains_and_a_pretrained_backbone(row, kept):
    other = MAIN | {"accuracy": 0.7}
    found = main_rows(pd.DataFrame([row, other]))["accuracy"].tolist()
    assert found == ([0.5, 0.7] if kept else [0.7])
    assert (counted([row]) == [row]) == kept


def test_a_table_without_these_columns_is_main_altogether():
    table = pd.DataFrame({"accuracy": [0.1, np.nan]})
    assert len(main_rows(table)) == 2


def test_a_recommendation_weighs_main_transfers_alone(tmp_path):
    runs = [
        transfer(tmp_path / "a", seed=0, right=6),
        transfer(tmp_path / "a", seed=1, right=6),
        transfer(tmp_path / "b", seed=0, right=10, label_budget=5),
        transfer(tmp_path / "c", seed=0, right=10, source="none"),
    ]
    table = recommended(runs)
    assert table["n"].tolist() == [2]
    assert table["accuracy"].tolist() == [0.6]
