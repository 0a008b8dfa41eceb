"""What a probe is fitted to: some rows of a matrix of features, standardised, and labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 1024  # rows gathered at a time: what a gathering takes stays small


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled images by their features; of these no copy is made.

    Attributes:
        features: (m, features) of all images, on the device.
        rows: (n,) int64, which of them.
        labels: (n,) int64, of those rows.
        mean: (features,) what is subtracted.
        std: (features,) what the rest is divided by; infinite: the feature counts as 0.
    """

    features: Tensor
    rows: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """How many features an image has."""
        return self.features.shape[1]

    def is_finite(self) -> bool:
        """Tell whether all features are finite."""
        return all(torch.isfinite(end) for end in self.features.aminmax())  # NaN is the least

    def standardised(self, rows: Tensor) -> Tensor:
        """Return the (k, features) float64 standardised features of any rows of the matrix."""
        return self.features[rows].double().sub_(self.mean).div_(self.std)

    def write(self, part: slice, columns: Tensor) -> None:
        """Write the standardised features of a part of the sample.

        Args:
            part: of the n images, k of them.
            columns: (features, k) float64, where to.
        """
        pieces = self.rows[part].split(PIECE)
        for rows, into in zip(pieces, columns.split(PIECE, dim=1), strict=True):
            into.copy_(self.features.index_select(0, rows).T)
        columns.sub_(self.mean.unsqueeze(1)).div_(self.std.unsqueeze(1))


def plain_sample(features: Tensor, labels: Tensor) -> Sample:
    """Return all rows of a matrix as they are.

    Args:
        features: (n, features).
        labels: (n,) int64.
    """
    zero = features.new_zeros(features.shape[1])
    rows = torch.arange(len(features), device=features.device)
    return Sample(features, rows, labels, zero, zero + 1)
