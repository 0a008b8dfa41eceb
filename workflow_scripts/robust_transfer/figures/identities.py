"""Which backbone a folder belongs to: names in files -> architecture, norm and epsilon."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from robust_transfer.figures.cells import epsilon_text
from robust_transfer.figures.results import rows_of

NORMS = {"l2": "L2", "linf": "L\N{INFINITY}"}


@dataclass(frozen=True)
class Identity:
    """What a backbone is, apart from its seed."""

    architecture: str
    norm: str
    epsilon: float

    @property
    def label(self) -> str:
        """Two lines for the margin of a figure."""
        if self.epsilon == 0:
            return f"{self.architecture}\nstandard"
        return f"{self.architecture}\nrobust, {norm_epsilon(self.epsilon, self.norm)}"


def norm_epsilon(epsilon: float, norm: str | float) -> str:
    """Spell norm and epsilon: "L2 0.25"."""
    return f"{NORMS.get(str(norm), norm)} {epsilon_text(epsilon, norm)}"


def identities(accuracy: pd.DataFrame) -> dict[str, Identity]:
    """Read off accuracy.csv what each backbone is.

    Args:
        accuracy: its rows; without a column `backbone` nothing is known.

    Returns:
        Name of the backbone -> what it is.
    """
    if "backbone" not in accuracy:
        return {}
    rows = accuracy.dropna(subset=["backbone"]).drop_duplicates("backbone")
    return {
        str(row.backbone): Identity(str(row.architecture), str(row.norm), float(row.epsilon))
        for row in rows_of(rows)
    }


def one_seed_each(names: Iterable[str], known: dict[str, Identity]) -> list[str]:
    """Keep one backbone of those that differ by their seed alone, standard ones first.

    Args:
        names: of backbones.
        known: as `identities` returns it; a name that it lacks is kept, at the end.
    """
    kept: dict[Identity | str, str] = {}
    for name in sorted(names):
        kept.setdefault(known.get(name, name), name)

    def order(name: str) -> tuple[bool, str, str, float]:
        one = known.get(name)
        return (one is None, *((one.architecture, one.norm, one.epsilon) if one else ("", "", 0)))

    return sorted(kept.values(), key=order)
