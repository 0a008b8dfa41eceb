"""The grid of a study: its backbones and its cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from robust_transfer.config.pretrain import BackboneEntry


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
    """

    backbone: Backbone
    dataset: str
    resolution: str
    mode: str
    protocol: str


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
