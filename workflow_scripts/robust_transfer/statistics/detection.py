"""detection.csv: one row a detector and metric, in the columns of accuracy.csv."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.statistics.tables import IDENTITY, make_table

#: What `protocol` holds in rows of detectors: their tests are a family of their own.
PROTOCOL = "detection"
#: Columns of detection.csv. `mode` is the detector, `accuracy` the value of `metric`, in [0, 1];
#: the interval is over test images, for this one detector.
DETECTION = (
    *IDENTITY, "n_test", "objects", "metric", "accuracy", "ci_low", "ci_high", "source_accuracy",
    "origin", "backbone", "classes", "seconds", "images_through_network", "peak_memory_bytes",
    "device",
)  # fmt: skip
#: Metrics that robust and standard are compared by: COCO's average precision.
TESTED = ("box_ap", "mask_ap")
RECORDED = (
    "architecture", "source", "norm", "epsilon", "pretrain_seed", "dataset", "transfer_seed",
    "backbone", "n_test", "objects", "classes", "seconds", "images_through_network",
    "peak_memory_bytes", "device",
)  # fmt: skip


def detection_table(
    score_paths: Sequence[str | Path], backbone_record_paths: Sequence[str | Path]
) -> pd.DataFrame:
    """Collect the scores of every detector.

    Args:
        score_paths: scores.json of each detector.
        backbone_record_paths: backbone.json of each backbone, in any order.

    Returns:
        The columns `DETECTION`, sorted; none where the study has no detectors.

    Raises:
        DataError: a detector's backbone has no record.
    """
    records = [_read(path) for path in backbone_record_paths]
    known = {record["backbone"]: record["source_accuracy"] for record in records}
    rows = []
    for path in score_paths:
        said = _read(path)
        if said["backbone"] not in known:
            raise DataError(
                f"{path}: backbone '{said['backbone']}' has no record; there are "
                f"{', '.join(known) or 'none'}."
            )
        about = {key: said[key] for key in RECORDED} | {
            "mode": said["detector"], "protocol": PROTOCOL, "resolution": "native",
            "label_budget": "all", "trainable_blocks": "all", "origin": "run",
            "source_accuracy": known[said["backbone"]],
        }  # fmt: skip
        for score in said["scores"]:
            numbers = {"accuracy": score["value"]} | {k: score[k] for k in ("ci_low", "ci_high")}
            rows.append(about | {"metric": score["metric"]} | numbers)
    order = [name for name in IDENTITY if name != "protocol"]
    return make_table(rows, DETECTION).sort_values(order, kind="stable", ignore_index=True)


def compared_rows(detection: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that robust and standard are compared by.

    Args:
        detection: rows of detection.csv.
    """
    return detection[detection["metric"].isin(TESTED)].reset_index(drop=True)


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}).") from error
