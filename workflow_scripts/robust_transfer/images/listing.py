"""What a dataset consists of, before any pixel is decoded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of a dataset, training images first; from files or from memory.

    Attributes:
        classes: names, sorted, in Unicode normal form C.
        labels: (n,) int64, positions in `classes`.
        n_train: the first so many images are the training split.
        source: where the images are from, in words.
        root: folder that `paths` are relative to; None when `pixels` holds the images.
        paths: POSIX paths of the files below `root`; empty when `pixels` holds the images.
        pixels: (n, height, width, 3) uint8; None when the images are files.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    n_train: int
    source: str
    root: Path | None = None
    paths: tuple[str, ...] = ()
    pixels: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def split_of(self, index: int) -> str:
        """Return `train` or `test`."""
        return "train" if index < self.n_train else "test"

    def path_of(self, index: int) -> str:
        """Return the file's path below `root`; empty for an image that is no file."""
        return self.paths[index] if self.paths else ""

    def name_of(self, index: int) -> str:
        """Return what to call an image in a message or a record."""
        within_split = index - (0 if index < self.n_train else self.n_train)
        return self.path_of(index) or f"{self.split_of(index)} image {within_split}"
