"""Trains with each learning rate; one that diverges is out of the choice, and ends nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.training.divergence import TrainingDivergedError
from robust_transfer.training.run import Run


@dataclass(frozen=True)
class Tried:
    """What training with each learning rate gave.

    Attributes:
        ended: model and run by learning rate, of those that can be chosen from.
        lost: runs that diverged, as far as they came.
        notes: one for each of these.
    """

    ended: dict[float, tuple[Backbone, Run]]
    lost: tuple[Run, ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> float:
        """The learning rate whose best evaluation is the best; of equal ones the first."""
        return max(self.ended, key=lambda rate: self.ended[rate][1].best_value)

    @property
    def seconds_before(self) -> float:
        """What all runs took in jobs that were stopped."""
        return sum(run.seconds_before for run in self._runs())

    def images(self, batch: int, held_out: int) -> int:
        """Count the forward passes of all runs in images, those that diverged with the others.

        Args:
            batch: images a step.
            held_out: images of an evaluation.
        """
        return sum(run.step * batch + len(run.history) * held_out for run in self._runs())

    def _runs(self) -> list[Run]:
        return [*(run for _, run in self.ended.values()), *self.lost]


def train_with_each(
    rates: Sequence[float], train: Callable[[float], tuple[Backbone, Run]], *, key: str
) -> Tried:
    """Train once with each learning rate.

    Args:
        rates: at least one.
        train: from a learning rate to a model and its run.
        key: of the config, whose `learning_rates` these are, for messages.

    Raises:
        TrainingDivergedError: all of them diverge.
    """
    ended, lost, notes = {}, [], []
    for rate in rates:
        try:
            ended[rate] = train(rate)
        except TrainingDivergedError as error:
            last = error
            notes.append(f"learning rate {rate:g} diverged and was not chosen from")
            # Of its weights nothing is kept.
            lost += [replace(error.run, average={}, best={})] if error.run else []
    if not ended:
        given = ", ".join(f"{rate:g}" for rate in rates)
        raise TrainingDivergedError(
            f"{last}\n  No other learning rate was tried: {given} ({key})."
        ) from last
    return Tried(ended, tuple(lost), tuple(notes))
