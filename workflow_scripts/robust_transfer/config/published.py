"""The table of published datasets, datasets.csv beside this module, as docs and code read it."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("datasets.csv")


@dataclass(frozen=True)
class Archive:
    """A file that a dataset is distributed in.

    Attributes:
        url: where it was last known to be.
        checksum: `md5:<hex>` or `sha256:<hex>`; empty where none is published.
        below: folder below data_root that it is unpacked into, or laid into; empty: data_root.
    """

    url: str
    checksum: str = ""
    below: str = ""


@dataclass(frozen=True)
class Published:
    """One line of the table.

    Attributes:
        kind: what a config calls it.
        title: what a person calls it.
        classes: their number.
        n_train: training images of the paper's split.
        n_test: test images of the paper's split.
        metric: `top1` or `mean_per_class`: what the paper reports.
        images: what they are and how large, in words.
        splits: names of the splits that there are, the default first.
        folder: where it lies below data_root.
        layout: files and folders below that, as the original archive has them.
        archives: what can be downloaded; empty: it must be got by hand.
        get: how to get it by hand.
        licence: as stated by its authors.
        citation: whom to cite.
    """

    kind: str
    title: str
    classes: int
    n_train: int
    n_test: int
    metric: str
    images: str
    splits: tuple[str, ...]
    folder: str
    layout: str
    archives: tuple[Archive, ...]
    get: str
    licence: str
    citation: str

    def how_to_get(self) -> str:
        """Say what to get, from where, and how it must lie on disk."""
        where = self.get
        if self.archives:
            addresses = ", ".join(archive.url for archive in self.archives)
            where = f"set `download: true` in its definition, or get {addresses}"
        return (
            f"{self.title}: {where}.\n  Below data_root it must lie as {self.folder}/ with "
            f"{self.layout}."
        )


@functools.cache
def published_datasets() -> dict[str, Published]:
    """Return the table's lines by kind."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        lines = [_read(row) for row in csv.DictReader(stream)]
    return {line.kind: line for line in lines}


def _read(row: dict[str, str]) -> Published:
    numbers = {key: int(row[key]) for key in ("classes", "n_train", "n_test")}
    lists = {
        "splits": tuple(_listed(row["splits"])),
        "archives": tuple(Archive(*entry.split("|")) for entry in _listed(row["archives"])),
    }
    words = {key: value for key, value in row.items() if key not in numbers | lists}
    return Published(**words, **numbers, **lists)  # type: ignore[arg-type]


def as_markdown() -> str:
    """Return the table for docs/datasets.md: one line a dataset, then where each lies."""
    lines = [
        "| kind | dataset | classes | train | test | metric | splits | download |",
        "|---|---|---|---|---|---|---|---|",
    ]
    details = []
    for each in published_datasets().values():
        lines.append(
            f"| `{each.kind}` | {each.title} | {each.classes} | {each.n_train:,} | "
            f"{each.n_test:,} | {each.metric} | {', '.join(each.splits)} | "
            f"{'yes' if each.archives else 'by hand'} |"
        )
        where = each.get or "; ".join(f"<{archive.url}>" for archive in each.archives)
        details.append(
            f"- **{each.title}** (`{each.kind}`; {each.images}), in `{each.folder}/`: "
            f"{each.layout}. Get it: {where}. Licence: {each.licence}. Cite: {each.citation}."
        )
    return "\n".join([*lines, "", *details]) + "\n"


def _listed(cell: str) -> list[str]:
    return [each.strip() for each in cell.split(";") if each.strip()]


if __name__ == "__main__":
    print(as_markdown(), end="")
