"""Learning rate and epsilon as functions of the step."""

import math
from collections.abc import Sequence

SCHEDULES = ("cosine", "step")


def learning_rate(step: int, total: int, *, peak: float, schedule: str, warmup: float) -> float:
    """Return the learning rate of one step.

    Args:
        step: 0 to total - 1.
        total: optimiser steps of the run.
        peak: highest learning rate.
        schedule: `cosine` (linear warm-up, then half a cosine to 0; Loshchilov & Hutter 2017,
            arXiv:1608.03983) or `step` (x0.1 after each third; Salman et al. 2020: every 30 of
            90 epochs).
        warmup: share of the steps in which the rate rises, in [0, 1).

    Raises:
        ValueError: no such schedule.
    """
    rising = round(warmup * total)
    if step < rising:
        return peak * (step + 1) / rising
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
    if schedule == "step":
        return peak * 0.1 ** (3 * step // total)
    raise ValueError(f"schedule '{schedule}': expected one of {', '.join(SCHEDULES)}.")


def stepped_rate(
    step: int, total: int, *, peak: float, warmup_steps: int, decay_at: Sequence[float]
) -> float:
    """Return the learning rate of one step of the schedule that detection uses ("1x").

    Args:
        step: 0 to total - 1.
        total: optimiser steps of the run.
        peak: highest learning rate.
        warmup_steps: in which it rises linearly to `peak` (Goyal et al. 2017, arXiv:1706.02677,
            section 2.2).
        decay_at: shares of the run, in [0, 1], after each of which it is a tenth (Ren et al. 2015,
            arXiv:1506.01497, section 3.3; at 2/3 and 8/9 in He et al. 2017, arXiv:1703.06870).
    """
    rising = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return peak * rising * 0.1 ** sum(step >= share * total for share in decay_at)


def epsilon_at(step: int, total: int, *, epsilon: float, warmup: float) -> float:
    """Return the attack size of one step: it rises linearly, then stays at `epsilon`.

    Large epsilons do not train from scratch without it (Debenedetti et al. 2023,
    arXiv:2209.07399, section 3).

    Args:
        step: 0 to total - 1.
        total: optimiser steps of the run.
        epsilon: final size.
        warmup: share of the steps in which it rises, in [0, 1).
    """
    return epsilon * min(1.0, (step + 1) / max(1.0, warmup * total))
