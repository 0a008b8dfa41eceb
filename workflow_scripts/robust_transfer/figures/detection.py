"""Average precision of detectors against the epsilon of their backbones."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robust_transfer.figures.accuracy_by_epsilon import draw_curves
from robust_transfer.figures.cells import commonest_norm, summarise
from robust_transfer.figures.results import DETECTION, plain
from robust_transfer.statistics.detection import compared_rows
from robust_transfer.statistics.main_rows import NO_SOURCE

#: What a metric measures, for a reader.
MEASURED = {"box_ap": "boxes", "mask_ap": "masks"}
UNTRAINED = ", never pretrained"
CURVES = ["dataset", "resolution", "mode", "line", "norm", "epsilon", "mean", "ci_low", "ci_high",
          "n", "replicate", "replicates"]  # fmt: skip
#: Metrics beside the one that is tested, as columns of a cell.
BESIDE = ("box_ap50", "box_ap75", "box_ap_small", "box_ap_medium", "box_ap_large", "mask_ap50",
          "voc07_map50", "voc10_map50")  # fmt: skip


def detection_cells(detection: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Average the detectors of each cell over its replicates.

    Args:
        detection: rows of detection.csv.
        confidence: of the intervals.

    Returns:
        Rows as `summarise` gives them, of COCO's average precision of boxes and of masks; where
        there is a single detector, its interval is the bootstrap over test images. `BESIDE` has
        the means of the other metrics, NaN where there are none.
    """
    table = plain(detection, DETECTION)
    cells = summarise(compared_rows(table), confidence)
    if cells.empty:
        return cells.assign(**dict.fromkeys(BESIDE, np.nan))
    keys = ["source", "architecture", "norm", "epsilon", "dataset", "mode"]
    means = table.groupby([*keys, "metric"], dropna=False)["accuracy"].mean().unstack("metric")
    means = means.reindex(columns=list(BESIDE)).astype(float).reset_index()
    alone = table.groupby([*keys, "metric"], dropna=False)[["ci_low", "ci_high"]].first()
    cells = cells.merge(means, on=keys, how="left").merge(
        alone.reset_index(), on=[*keys, "metric"], how="left", suffixes=("", "_images")
    )
    single = cells["replicate"] == "none"
    for name in ("ci_low", "ci_high"):
        cells[name] = cells[name].where(~single, cells.pop(f"{name}_images")).astype(float)
    return cells


def precision_data(cells: pd.DataFrame) -> pd.DataFrame:
    """Choose the cells of the curves; a network that was never pretrained is a line of its own.

    Args:
        cells: as `detection_cells` returns them.
    """
    table = commonest_norm(cells)
    untrained = table["source"] == NO_SOURCE
    line = (
        table["architecture"]
        .astype(object)
        .where(~untrained, table["architecture"].astype(object) + UNTRAINED)
    )
    several = table.groupby("mode")["metric"].transform("nunique") > 1
    words = table["mode"].astype(object) + ", " + table["metric"].map(MEASURED).astype(object)
    mode = table["mode"].astype(object).where(~several, words)
    return table.assign(line=line, mode=mode)[CURVES].reset_index(drop=True)


def draw_precision(data: pd.DataFrame, *, toy: Collection[str] = (), nothing: str) -> Figure:
    """Draw average precision against epsilon: a panel a dataset and detector.

    Args:
        data: as `precision_data` returns it; it may be empty.
        toy: names of the datasets that are toys.
        nothing: what to say when there are no data.
    """
    lines = set(data["line"].astype(str))
    controls = {line for line in lines if line.endswith(UNTRAINED)}
    return draw_curves(data, toy=toy, nothing=nothing, quantity="AP, %", references=controls)
