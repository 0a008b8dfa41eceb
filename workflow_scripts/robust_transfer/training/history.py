"""The history of a training as a table."""

import csv
from pathlib import Path
from typing import Any

from robust_transfer.files import whole_file


def write_history(path: str | Path, history: list[dict[str, Any]]) -> None:
    """Write one row an evaluation, whole or not at all.

    Args:
        path: a CSV file.
        history: rows of equal keys, as `fit` collects them.
    """
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
