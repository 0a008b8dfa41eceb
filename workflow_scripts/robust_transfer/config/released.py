"""The table of released robust models, released_models.csv beside this module."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from robust_transfer.config.values import parse_number

TABLE = Path(__file__).with_name("released_models.csv")
ADDRESS = "https://huggingface.co/madrylab/robust-imagenet-models/resolve/main/"


@dataclass(frozen=True)
class Released:
    """A released model.

    Attributes:
        file: its name on the server.
        source_accuracy: published top-1 accuracy on ImageNet, in [0, 1].
    """

    file: str
    source_accuracy: float

    @property
    def url(self) -> str:
        """Where it was last known to be."""
        return ADDRESS + self.file


@functools.cache
def released_models() -> dict[tuple[str, str, float], Released]:
    """Return the released models by architecture, norm and epsilon (units of [0, 1])."""
    with TABLE.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        return {
            (row["architecture"], row["norm"], parse_number(row["epsilon"])): Released(
                row["file"], float(row["source_accuracy"])
            )
            for row in rows
        }
