"""Measuring alternatives in turns, so that a machine's drift meets them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

SAMPLE_SECONDS = 0.25  # a sample repeats a quick step until it has taken about this long


@dataclass(frozen=True)
class Spread:
    """A median and the range of the middle half.

    Attributes:
        median: of all samples.
        low: first quartile.
        high: third quartile.
    """

    median: float
    low: float
    high: float


def spread(samples: list[float]) -> Spread:
    """Summarise samples; of fewer than four, low and high are the extremes."""
    if len(samples) < 4:
        return Spread(statistics.median(samples), min(samples), max(samples))
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(median, low, high)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what was asked of it; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device, repeats: int = 1) -> float:
    """Return the seconds that one call takes, as the mean of `repeats` in a row."""
    wait_for(device)
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    wait_for(device)
    return (time.perf_counter() - started) / repeats


def alternate(
    timers: Mapping[str, Callable[[int], float]],
    *,
    warm: Mapping[str, float],
    seconds: float,
    fewest_rounds: int,
    most_rounds: int,
) -> dict[str, list[float]]:
    """Time every alternative once a round, in turning order.

    Args:
        timers: what is compared, by name: each takes so many steps in a row, and returns the mean
            of their seconds.
        warm: about how many seconds one step of each takes.
        seconds: to spend, as far as `fewest_rounds` lets it.
        fewest_rounds: rounds in any case.
        most_rounds: rounds at most.

    Returns:
        Seconds a step, one number a round and name; numbers of one position are of one round.
    """
    repeats = {name: max(1, round(SAMPLE_SECONDS / warm[name])) for name in timers}
    samples: dict[str, list[float]] = {name: [] for name in timers}
    names, started = list(timers), time.perf_counter()
    for done in range(1, most_rounds + 1):
        for name in names:
            samples[name].append(timers[name](repeats[name]))
        names.append(names.pop(0))
        spent = time.perf_counter() - started
        if done >= fewest_rounds and spent * (done + 1) / done > seconds:
            break
    return samples
