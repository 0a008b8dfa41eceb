"""Compiling a network where it pays: both ways are timed on the first batch, the quicker stays."""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

FEWEST_STEPS = 2_000  # a compilation takes a minute or so; in shorter runs it never comes back
WARM_UPS, REPEATS = 3, 5

Call = Callable[..., Any]


def may_pay(choice: str, device: torch.device, steps: int) -> bool:
    """Say whether compiling is worth a trial.

    On a CPU it gained 15% for small networks and lost 6% for ResNet-18, at 20 s a job and more:
    there it is never tried.

    Args:
        choice: `auto` or `off`.
        device: of the run.
        steps: of the run.
    """
    return choice == "auto" and device.type == "cuda" and steps >= FEWEST_STEPS


def quicker(
    eager: Call,
    trial: Callable[[Call], object],
    *,
    device: torch.device,
    what: str,
    backend: str = "inductor",
) -> Call:
    """Return a function or its compiled form, whichever a trial finds quicker, and say which.

    Args:
        eager: the function.
        trial: calls what it is given as the run will; it must leave no trace.
        device: where it computes.
        what: the function is, for the log.
        backend: of torch.compile.

    Returns:
        The quicker one; `eager` where compiling fails.
    """
    compiled = torch.compile(eager, backend=backend, dynamic=False)
    try:
        seconds = {name: _seconds(lambda call=call: trial(call), device)  # type: ignore[misc]
                   for name, call in (("eager", eager), ("compiled", compiled))}  # fmt: skip
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler may raise: the run can do without it
        first = str(error).strip().splitlines()[:1]
        _say(f"{what}: not compiled: {type(error).__name__}: {' '.join(first)}")
        return eager
    gain = seconds["eager"] / seconds["compiled"]
    kept = "compiled" if gain > 1 else "eager"
    _say(f"{what}: compiled it is {gain:.2f} times as fast; {kept} from here on")
    return compiled if gain > 1 else eager


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return the least time of a few calls, after a few more that compile and tune."""
    times = []
    for _ in range(WARM_UPS + REPEATS):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[WARM_UPS:])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
