"""The second implementation of the statistics agrees with the first, and is no copy of it."""

import ast
from pathlib import Path

import numpy as np
import pytest
from robust_transfer.audit import statistics as second
from robust_transfer.statistics.power import power
from robust_transfer.statistics.selected import selected_table
from robust_transfer.statistics.source_correlation import pearson_table
from robust_transfer.statistics.tables import read_table, write_table
from robust_transfer.statistics.welch import welch_table
from scipy import integrate, stats
from synthetic_study import BACKBONES, accuracy_table

FIRST = {"welch": welch_table, "selected": selected_table, "pearson": pearson_table}
GRIDS = {
    "two pretrainings": BACKBONES,
    "one pretraining": [(0.0, 0), (0.25, 0), (0.5, 0)],
    "no standard": [(0.25, 0), (0.25, 1), (0.5, 0)],
    "ten backbones": [(epsilon, seed) for epsilon in (0, 0.1, 0.2, 0.3, 0.4) for seed in (0, 1)],
    "twelve backbones": [(e, seed) for e in (0, 0.1, 0.2, 0.3) for seed in (0, 1, 2)],
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", FIRST)
def test_both_implementations_agree(tmp_path, grid, name):
    datasets = {"digits": ["native"], "greek": ["native", "32"]}
    accuracy = accuracy_table(datasets=datasets, backbones=GRIDS[grid], draw=3)
    write_table(tmp_path / "accuracy.csv", accuracy)
    first = FIRST[name](read_table(tmp_path / "accuracy.csv"), confidence=0.95)
    write_table(tmp_path / "table.csv", first)
    again, keys = second.TABLES[name]
    rows = again(second.read_rows(tmp_path / "accuracy.csv"), 0.95)
    count, wrong = second.compared(second.read_rows(tmp_path / "table.csv"), rows, keys)
    assert wrong == []
    assert count > 5 * len(first)


def test_the_second_implementation_shares_no_line_with_the_first():
    folder = Path(second.__file__).parent
    for path in (folder / "statistics.py", *folder.glob("second_*.py")):
        names = [
            node.module or "" for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        ]  # fmt: skip
        assert not [name for name in names if name.startswith("robust_transfer.statistics")], path


@pytest.mark.parametrize("shift", [2.0, 8.0, 8.4977263534, 9.0, 12.0])
def test_power_is_a_number_where_its_lower_tail_vanishes(shift):
    """SciPy's noncentral t gives NaN there; the search for 0.8 then ended anywhere."""
    sd_a, sd_b = 0.01178511301977579, 0.029462782549439473
    a, b = sd_a**2 / 2, sd_b**2 / 2
    dof = (a + b) ** 2 / (a**2 + b**2)
    critical = stats.t.ppf(0.975, dof)

    def density(root):
        at = critical * root / np.sqrt(dof)
        tails = stats.norm.sf(at - shift) + stats.norm.cdf(-at - shift)
        return tails * stats.chi2.pdf(root**2, dof) * 2 * root

    true = integrate.quad(density, 0, np.inf, limit=500)[0]
    found = power(shift * (a + b) ** 0.5, sd_a, sd_b, 2, 2, level=0.05)
    assert found == pytest.approx(true, abs=1e-6)
