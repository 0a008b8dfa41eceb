"""The tables of the report: for the page, as CSV and as LaTeX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from robust_transfer.figures.results import rows_of
from robust_transfer.files import whole_file, write_text


@dataclass(frozen=True)
class Cell:
    """One cell: what it shows, what it is sorted by, its CSS class."""

    text: str
    value: float | str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the page shows it.

    Attributes:
        name: one of `TABLES`.
        title: heading.
        caption: how to read it.
        headers: (text, whether numeric) of each column.
        rows: cells of each row; row k shows line k + 1 of the CSV (its header is line 1).
        nothing: what to say when there are no rows.
    """

    name: str
    title: str
    caption: str
    headers: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    nothing: str


#: Columns that leave a table when all its rows agree.
CONSTANTS = ("Size", "Architecture", "Norm", "Source", "Protocol", "Metric", "Origin", "Note",
             "Chosen on")  # fmt: skip
#: A column: its header, whether it is a number, and the function from a row to its cell.
Column = tuple[str, bool, Callable[[Any], Cell]]


def spell(table: tuple[str, str, str, str], data: pd.DataFrame, columns: Sequence[Column]) -> Table:
    """Spell a data frame; a column of words with one value for all rows goes to the caption.

    Args:
        table: name, title, caption, and what to say when there are no rows.
        data: the rows.
        columns: how to spell them.
    """
    name, title, caption, nothing = table
    rows = [[cell(row) for _, _, cell in columns] for row in rows_of(data)]
    same = [
        place
        for place, (header, numeric, _) in enumerate(columns)
        if len(rows) > 1
        and not numeric
        and header in CONSTANTS
        and len({row[place].text for row in rows}) == 1
    ]
    said = [f"{columns[i][0].lower()} {rows[0][i].text}" for i in same if rows[0][i].text]
    if said:
        caption += f" In all rows: {', '.join(said)}."
    kept = [place for place in range(len(columns)) if place not in same]
    return Table(
        name,
        title,
        caption,
        tuple((columns[i][0], columns[i][1]) for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
        nothing,
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{INFINITY}": r"$\infty$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{SUPERSCRIPT TWO}": r"$^2$",
    "<": "$<$",
}


def latex(table: Table) -> str:
    """Write a table as a booktabs `tabular`, to be put into a `table` environment."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    body = [line([cell.text for cell in row]) for row in table.rows]
    width = len(table.headers)
    body = body or [rf"\multicolumn{{{width}}}{{l}}{{{table.nothing}}} \\"]
    return (
        "\n".join(
            [
                f"% {table.title}. {table.caption}",
                "% needs \\usepackage{booktabs}",
                rf"\begin{{tabular}}{{{''.join('r' if n else 'l' for _, n in table.headers)}}}",
                r"\toprule",
                line([header for header, _ in table.headers]),
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
        + "\n"
    )


def write_table(folder: str | Path, table: Table, data: pd.DataFrame) -> None:
    """Write a table as <name>.csv (all digits) and <name>.tex (as the page spells it).

    Args:
        folder: where to.
        table: as the page shows it.
        data: its rows in full.
    """
    with whole_file(Path(folder) / f"{table.name}.csv") as beside:
        data.to_csv(beside, index=False, lineterminator="\n")
    write_text(Path(folder) / f"{table.name}.tex", latex(table))
