"""What transfers noted on their data and their training, counted."""

import re

import pandas as pd

from robust_transfer.statistics.tables import typed

SEPARATOR = "; "  # between the notes of a transfer, in accuracy.csv
PLACE = ["dataset", "resolution", "mode", "protocol"]
#: Columns of the table of notes.
NOTED = (*PLACE, "note", "n")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def noted(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Count what transfers noted.

    Args:
        accuracy: rows of accuracy.csv.

    Returns:
        `NOTED`: a row for each note of a dataset, resolution, mode and protocol; `n` transfers.
        Notes that differ in their numbers alone are one, with "\u2026" for what differs.
    """
    notes = accuracy["notes"].astype("str").str.split(SEPARATOR)
    said = accuracy[PLACE].assign(note=notes).explode("note").dropna(subset="note")
    said["kind"] = said["note"].astype("str").str.replace(NUMBER, "\u2026", regex=True)
    groups = said.groupby([*PLACE, "kind"], sort=True, dropna=False)["note"]
    found = groups.agg([_common, "size"]).reset_index()
    table = found.rename(columns={"_common": "note", "size": "n"})
    return typed(table[list(NOTED)].sort_values([*PLACE, "note"], ignore_index=True))


def _common(notes: pd.Series) -> str:
    """Return what notes of one kind have in common: a number that differs is left out."""
    first, numbers = notes.iloc[0], [NUMBER.findall(note) for note in notes]
    same = iter([len(set(each)) == 1 for each in zip(*numbers, strict=True)])
    return NUMBER.sub(lambda number: number[0] if next(same) else "\u2026", first)
