"""Learning rate and epsilon as functions of the step."""

import math

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
