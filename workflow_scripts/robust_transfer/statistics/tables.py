"""Tables on disk: columns, types, and numbers that survive the disk exactly."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from robust_transfer.errors import DataError
from robust_transfer.files import whole_file

#: What says which run a row of accuracies is; no two rows agree in all of them.
IDENTITY = (
    "architecture", "source", "norm", "epsilon", "pretrain_seed", "dataset", "resolution", "mode",
    "protocol", "label_budget", "trainable_blocks", "transfer_seed",
)  # fmt: skip
#: Columns of accuracy.csv: those that others rely on, then the rest.
ACCURACY = (
    *IDENTITY, "n_test", "metric", "accuracy", "source_accuracy", "origin", "backbone",
    "source_robust_accuracy", "classes", "top1", "mean_per_class", "log_loss",
    "calibration_error", "validation_accuracy", "selected", "selected_on", "labelled_images",
    "seconds", "images_through_network", "peak_memory_bytes", "device", "notes",
)  # fmt: skip
#: Columns that hold words; "32" is a resolution, not a number.
WORDS = frozenset({
    "architecture", "source", "norm", "dataset", "resolution", "mode", "protocol", "metric",
    "origin", "backbone", "source_robust_accuracy", "selected", "selected_on", "device",
    "replicate", "family", "note", "p_method", "unit", "candidates", "chosen", "term", "measure",
    "best_robust", "best_standard", "label_budget", "trainable_blocks", "attack", "attack_norm",
    "robust_origin", "standard_origin", "verdict", "value", "notes",
})  # fmt: skip
#: Columns that hold whole numbers, or nothing.
COUNTS = frozenset({
    "pretrain_seed", "transfer_seed", "n_test", "classes", "images_through_network",
    "peak_memory_bytes", "labelled_images",
    "attack_steps", "attacked_images", "n", "n_robust", "n_standard", "images", "objects",
})  # fmt: skip


def make_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Make a typed table: `WORDS` as text, `COUNTS` as whole numbers, all else as float64.

    Args:
        rows: column -> value; an absent value is empty. There may be none.
        columns: all columns, in order.
    """
    names = list(columns)
    return typed(pd.DataFrame(list(rows), columns=names, dtype=object))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give each column the type that its name has; see `make_table`.

    Raises:
        ValueError: a column of numbers holds something else.
    """
    return table.assign(**{name: _typed_column(table[name]) for name in table.columns})


def _typed_column(column: pd.Series) -> pd.Series:
    if column.name in WORDS or isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    numbers = pd.to_numeric(column).astype("float64")
    return numbers.round().astype("Int64") if column.name in COUNTS else numbers


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write CSV, whole or not at all: shortest floats that read back equal, rows in order."""
    with whole_file(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n", encoding="utf-8")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read what `write_table` wrote, with the same types and the very same numbers.

    Lines that begin with "#" before the header are comments.

    Raises:
        DataError: the file is missing, empty, not a CSV table, or has words where numbers belong.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    with path.open(encoding="utf-8-sig") as stream:
        comments = 0
        for line in stream:
            if not line.startswith("#"):
                break
            comments += 1
    try:
        table = pd.read_csv(
            path, skiprows=comments, dtype="str", keep_default_na=False,
            na_values=["", "nan", "NaN", "NA"], encoding="utf-8-sig", skip_blank_lines=True,
        )  # fmt: skip
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table with a header ({error}).") from error
    table.columns = table.columns.str.strip()
    for name in table.columns:
        table[name] = _parsed_column(path, table[name], comments)
    return typed(table)


def _parsed_column(path: Path, column: pd.Series, comments: int) -> pd.Series:
    """Return words stripped, or numbers; name the first cell that is not a number.

    A column that is not of accuracy.csv may hold what it likes.
    """
    column = column.str.strip()
    if column.name in WORDS:
        return column
    # Not pd.to_numeric: its float parser may err in the last bit.
    numbers = [_number(text) for text in column]
    for row, number in enumerate(numbers):
        if number is None and column.name not in ACCURACY:
            return column
        if number is None:
            raise DataError(
                f"{path}, line {comments + row + 2}, {column.name}: '{column.iloc[row]}' is not a "
                "number. Write a number such as 0.25 or 8/255, or leave it empty."
            )
    return pd.Series(numbers, index=column.index, name=column.name, dtype="float64")


def _number(text: object) -> float | None:
    """Return a number, a fraction such as 8/255, or NaN for an empty cell; None for words."""
    if not isinstance(text, str) or not text:
        return float("nan")
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below) if below else float(above)
    except (ValueError, ZeroDivisionError):
        return None
