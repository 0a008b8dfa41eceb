"""A run under way: what it has found so far, and its state on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robust_transfer.training.sgd import Sgd
from robust_transfer.training.state import TrainingState, load_state, save_state
from robust_transfer.training.step import Recipe


@dataclass
class Run:
    """A run under way, and what it leaves.

    Attributes:
        loss_sum: of the steps since the last row of the history: the loss, or each of its parts.
        best: weights at the best evaluation.
        history: one row an evaluation.
        step: the step to take next.
        seconds: that it took so far, in this process and before.
        seconds_before: that it took in processes which were stopped.
        saved: steps done when its state on disk was written; 0: there is none.
    """

    average: dict[str, Tensor]
    loss_sum: Tensor
    best: dict[str, Tensor] = field(default_factory=dict)
    best_value: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    seconds_before: float = 0.0
    saved: int = 0


def averaged(model: nn.Module, recipe: Recipe) -> dict[str, Tensor]:
    """Return where the moving average of the weights begins; empty where none is asked for."""
    if not recipe.weight_average:
        return {}
    return {name: value.clone() for name, value in model.state_dict().items()}


def move_average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the average towards the weights and the BatchNorm statistics."""
    for name, value in model.state_dict().items() if average else ():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def save_run(run: Run, model: nn.Module, optimiser: Sgd, identity: str, path: Path) -> None:
    """Replace the state on disk."""
    groups = {"model": model.state_dict(), "best": run.best, "average": run.average}
    tensors = {f"{g}.{name}": value for g, group in groups.items() for name, value in group.items()}
    tensors |= optimiser.state() | {"loss_sum": run.loss_sum}
    kept = ("best_value", "history", "step", "seconds")
    record = {"identity": identity} | {name: getattr(run, name) for name in kept}
    save_state(path, TrainingState(tensors, record))


def resume_run(run: Run, model: nn.Module, optimiser: Sgd, identity: str, path: Path) -> None:
    """Go on from the state on disk, if there is one of this run."""
    state = load_state(path, identity)
    if state is None:
        return

    def group(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): value.to(run.loss_sum.device)
            for name, value in state.tensors.items()
            if name.startswith(prefix)
        }

    model.load_state_dict(group("model."))
    optimiser.load_state(group(""))
    run.best, run.average = group("best."), group("average.")
    run.loss_sum.copy_(state.tensors["loss_sum"])
    for name in ("best_value", "history", "step", "seconds"):
        setattr(run, name, state.record[name])
    run.seconds_before, run.saved = run.seconds, run.step
