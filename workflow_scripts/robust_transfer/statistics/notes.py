"""What transfers noted on their data and their training, counted."""

import pandas as pd

from robust_transfer.statistics.tables import typed

SEPARATOR = "; "  # between the notes of a transfer, in accuracy.csv
PLACE = ["dataset", "resolution", "mode", "protocol"]
#: Columns of the table of notes.
NOTED = (*PLACE, "note", "n")


def noted(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Count what transfers noted.

    Args:
        accuracy: rows of accuracy.csv.

    Returns:
        `NOTED`: a row for each note of a dataset, resolution, mode and protocol; `n` transfers.
    """
    said = (
        accuracy[PLACE]
        .assign(note=accuracy["notes"].astype("str").str.split(SEPARATOR))
        .explode("note")
    )
    said = said[said["note"].notna()]
    counts = said.groupby([*PLACE, "note"], sort=True, dropna=False).size()
    return typed(counts.reset_index(name="n")[list(NOTED)])
