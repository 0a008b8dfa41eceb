"""Batches in parts: halved where a GPU's memory is too small, the gradients of parts added up."""

import itertools
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_transfer.attacks.batches import TooLittleMemoryError
from robust_transfer.training.sgd import Sgd

LossOfRows = Callable[[slice], Tensor]


class Parts:
    """Computes the gradient of a batch in as few parts as the memory allows.

    Where a GPU runs out of memory the batch is halved, again if need be, and the gradients of its
    parts are added: the optimiser sees the gradient of the same batch. Of several processes each
    cuts its own share, before they add up their gradients: none waits for another meanwhile.

    Args:
        model: is trained; an attempt that fails leaves no trace in its statistics.
        optimiser: of the model's weights.
        label: what a line of the log begins with.
        differs: a sentence for the log: what is not as with the whole batch.
        smaller: what a user can choose smaller where one image is too much.

    Attributes:
        count: parts that a batch is cut into; it stays where it has grown to.
    """

    def __init__(
        self, model: nn.Module, optimiser: Sgd, *, label: str, differs: str, smaller: str
    ) -> None:
        self.optimiser, self.label = optimiser, label
        self.differs, self.smaller = differs, smaller
        self.count = 1
        self._statistics = list(model.buffers())

    def gradients(self, begin: Callable[[], LossOfRows], share: int, *, n: int) -> Tensor:
        """Leave the gradient of a share of the mean loss of a batch in the weights.

        Args:
            begin: seeds an attempt, and returns what maps rows of the share to their mean loss
                with its graph: a scalar, or a vector of losses that are added.
            share: images of this process.
            n: images of the whole batch.

        Returns:
            The share of the loss, without a graph: that of each part weighs as its images.

        Raises:
            TooLittleMemoryError: one image at a time is too much.
        """
        before = [each.clone() for each in self._statistics]
        while (loss := self._attempt(begin, share, n)) is None:
            self._halve(share)
            for statistic, value in zip(self._statistics, before, strict=True):
                statistic.copy_(value)  # BatchNorm forgets the attempt that failed
        return loss

    def _attempt(self, begin: Callable[[], LossOfRows], share: int, n: int) -> Tensor | None:
        """Add up the gradients of all parts; None: there is too little memory."""
        loss_of = begin()
        self.optimiser.zero_grad()
        losses = []
        try:
            for rows in even_parts(share, self.count):
                loss = loss_of(rows) * ((rows.stop - rows.start) / n)
                loss.sum().backward()
                losses.append(loss.detach())
        except torch.OutOfMemoryError:
            return None
        return losses[0] if self.count == 1 else torch.stack(losses).sum(0)

    def _halve(self, share: int) -> None:
        """Cut the batch into twice as many parts, and say so."""
        self.optimiser.zero_grad()
        if self.count >= share:
            raise TooLittleMemoryError(
                f"{self.label}: the GPU's memory does not hold the training of one image. "
                f"Choose a smaller {self.smaller}, or a GPU with more memory."
            )
        self.count = min(2 * self.count, share)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(
            f"{self.label}: too little GPU memory for {share} images at once; each batch is "
            f"taken in {self.count} parts from here on, and their gradients are added. "
            f"{self.differs}",
            file=sys.stderr,
            flush=True,
        )


def even_parts(n: int, count: int) -> list[slice]:
    """Cut `n` rows into parts whose sizes differ by at most one, the larger ones first."""
    bounds = [part * (n // count) + min(part, n % count) for part in range(count + 1)]
    return [slice(first, end) for first, end in itertools.pairwise(bounds)]
