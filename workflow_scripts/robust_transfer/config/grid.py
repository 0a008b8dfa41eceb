"""The grid of a study: its backbones and its cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from robust_transfer.config.pretrain import BackboneEntry
from robust_transfer.config.transfer import Transfer

#: The source of a backbone that was never pretrained.
NO_SOURCE = "none"
#: Which mode a control is transferred in.
MODE_OF_CONTROL = {"random_features": "fixed", "from_scratch": "full"}
#: What a variant is called that uses all labels and trains all that its mode trains.
ALL = "all"


def spell_epsilon(epsilon: float) -> str:
    """Spell an epsilon for a file name: three significant digits.

    Args:
        epsilon: attack size, in pixel units of images in [0, 1].

    Returns:
        Such as `0`, `0.25` or `0.0314` (for 8/255).
    """
    return f"{epsilon:.3g}"


@dataclass(frozen=True, slots=True, order=True)
class Backbone:
    """A network to pretrain: one choice of each list of an entry of `pretrain.backbones`.

    Attributes:
        architecture: name of the network.
        source: the dataset that it is pretrained on.
        norm: `l2` or `linf`.
        epsilon: largest attack in training, in pixel units of images in [0, 1]; 0: standard.
        seed: of the pretraining.
    """

    architecture: str
    source: str
    norm: str
    epsilon: float
    seed: int

    @property
    def name(self) -> str:
        """Its name in paths and tables."""
        return (
            f"{self.architecture}-{self.source}-{self.norm}"
            f"-eps{spell_epsilon(self.epsilon)}-seed{self.seed}"
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One backbone transferred to one dataset in one way; every transfer seed repeats it.

    Attributes:
        backbone: what is transferred.
        dataset: name of the target.
        resolution: `native`, or the digits of the pixels a side.
        mode: `fixed` or `full`.
        protocol: `clean` or `paper`.
        variant: `all`, `labels<n>` (so many labelled images a class) or `blocks<k>` (the head
            and so many of the last blocks are trained).
    """

    backbone: Backbone
    dataset: str
    resolution: str
    mode: str
    protocol: str
    variant: str = ALL


def label_budget(variant: str) -> int | str:
    """Return the labelled images a class of a variant, or `all`."""
    return int(variant.removeprefix("labels")) if variant.startswith("labels") else ALL


def trainable_blocks(variant: str) -> int | str:
    """Return how many of the last blocks a variant trains, or `all`."""
    return int(variant.removeprefix("blocks")) if variant.startswith("blocks") else ALL


def variants(transfer: Transfer, mode: str) -> list[str]:
    """Give the variants of a mode, `all` first; budgets and blocks are not combined.

    Args:
        transfer: the section.
        mode: `fixed` or `full`.
    """
    budgets = (transfer.fixed if mode == "fixed" else transfer.full).label_budgets
    blocks = transfer.full.trainable_blocks if mode == "full" else []
    named = [f"labels{n}" for n in budgets if n != ALL]
    return [ALL, *named, *(f"blocks{k}" for k in blocks if k != ALL)]


def controls(backbones: tuple[Backbone, ...]) -> tuple[Backbone, ...]:
    """Give a backbone that was never trained for each architecture and seed of a study.

    Args:
        backbones: of the study.
    """
    return tuple(
        dict.fromkeys(Backbone(b.architecture, NO_SOURCE, "l2", 0.0, b.seed) for b in backbones)
    )


def expand_entry(entry: BackboneEntry, source: str) -> Iterator[Backbone]:
    """Give every combination of an entry's lists.

    Args:
        entry: of `pretrain.backbones`.
        source: the dataset that backbones are pretrained on.

    Yields:
        Backbones; the seed changes fastest.
    """
    for architecture, norm, epsilon, seed in product(
        entry.architecture, entry.norm, entry.epsilon, entry.seeds
    ):
        yield Backbone(architecture, source, norm, epsilon, seed)
