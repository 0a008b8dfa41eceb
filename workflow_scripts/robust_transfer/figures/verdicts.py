"""The verdict on a comparison: who is better, or that it cannot be told."""

from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.figures.cells import with_lines
from robust_transfer.figures.results import WELCH, plain
from robust_transfer.figures.style import COLOUR

#: Verdict -> the words of the legend.
KINDS = {
    "robust": "robust better",
    "standard": "standard better",
    "unclear": "not distinguishable",
    "untested": "not tested",
}
#: Verdict -> how a bar looks; the hatch says it without colour.
LOOKS: dict[str, dict[str, Any]] = {
    "robust": {"facecolor": COLOUR["robust"], "edgecolor": COLOUR["robust"]},
    "standard": {"facecolor": COLOUR["standard"], "edgecolor": COLOUR["paper"], "hatch": "//////"},
    "unclear": {"facecolor": COLOUR["paper"], "edgecolor": COLOUR["unclear"]},
    "untested": {"facecolor": COLOUR["paper"], "edgecolor": COLOUR["unclear"], "hatch": "...."},
}


def with_verdicts(welch: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Add the column `verdict` to Welch rows.

    Args:
        welch: rows with `difference` and `p_adjusted` (two-sided, Holm).
        alpha: level of the tests, such as 0.05.

    Returns:
        The rows with all columns `WELCH`, `line`, and `verdict`: robust, standard, unclear (p not
        below alpha), or untested (no p).
    """
    welch = with_lines(plain(welch, WELCH))
    p, difference = welch["p_adjusted"].astype(float), welch["difference"].astype(float)
    kinds = np.select(
        [p.isna() | difference.isna(), p >= alpha, difference > 0],
        ["untested", "unclear", "robust"],
        "standard",
    )
    return welch.assign(verdict=kinds.astype(object))
