"""Trains with each learning rate; one that diverges is out of the choice, and ends nothing."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from robust_transfer.training.divergence import TrainingDivergedError

T = TypeVar("T")


def train_with_each(
    rates: Sequence[float], train: Callable[[float], T], *, key: str
) -> tuple[dict[float, T], tuple[str, ...]]:
    """Train once with each learning rate.

    Args:
        rates: at least one.
        train: from a learning rate to a run.
        key: of the config, whose `learning_rates` these are, for messages.

    Returns:
        The runs by learning rate, and a note for each rate that diverged.

    Raises:
        TrainingDivergedError: all of them did.
    """
    runs, notes = {}, []
    for rate in rates:
        try:
            runs[rate] = train(rate)
        except TrainingDivergedError as error:
            last = error
            notes.append(f"learning rate {rate:g} diverged and was not chosen from")
    if not runs:
        given = ", ".join(f"{rate:g}" for rate in rates)
        raise TrainingDivergedError(
            f"{last}\n  No other learning rate is given: {given} ({key})."
        ) from last
    return runs, tuple(notes)
