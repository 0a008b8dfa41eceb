"""Notices a run whose loss or weights are no numbers any more, without waiting for a GPU."""

from collections.abc import Iterable

import torch
from torch import Tensor

from robust_transfer.errors import UserError
from robust_transfer.training.run import Run

LOOK_EVERY = 100  # steps after which a run is asked in any case: asking waits for a GPU


class TrainingDivergedError(UserError):
    """The loss is no longer a number.

    Args:
        message: for the user.
        run: as far as it came, if any.
    """

    def __init__(self, message: str, run: Run | None = None) -> None:
        super().__init__(message)
        self.run = run


class Watch:
    """Remembers the first step whose loss is not finite, on the device.

    Args:
        run: that is watched; its messages say which state is kept.
        weights: that are trained.
        label: of the run, for messages.
    """

    def __init__(self, run: Run, weights: Iterable[Tensor], label: str) -> None:
        self.run, self.weights, self.label = run, list(weights), label
        self.bad = torch.zeros((), dtype=torch.int64, device=run.loss_sum.device)

    def see(self, loss: Tensor, step: int) -> None:
        """Look at the loss of a step, counted from 1."""
        new = (self.bad == 0) & ~torch.isfinite(loss.detach()).all()
        self.bad = torch.where(new, step, self.bad)

    def check(self, *, weights: bool = False) -> None:
        """Stop the run where a loss was not finite.

        Args:
            weights: look at the weights too, whose last update no loss has seen.

        Raises:
            TrainingDivergedError: it names the step.
        """
        bad = int(self.bad)
        if bad:
            raise self._error(f"the loss of step {bad} is not a finite number")
        if weights and not bool(torch.stack([w.isfinite().all() for w in self.weights]).all()):
            raise self._error(f"after step {self.run.step} the weights are not finite numbers")

    def _error(self, what: str) -> TrainingDivergedError:
        kept = (
            f"The state after step {self.run.saved} is kept."
            if self.run.saved
            else "No state is kept yet: the first is written after a minute."
        )
        return TrainingDivergedError(
            f"{self.label}: {what}. Lower the learning rate or lengthen its warm-up; in "
            f"adversarial training, lengthen that of epsilon too. {kept}",
            self.run,
        )
