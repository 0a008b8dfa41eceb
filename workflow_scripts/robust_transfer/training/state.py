"""Training state on disk: what a killed run goes on from (law 7 of the design)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robust_transfer.files import whole_file


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next step depends on.

    Attributes:
        tensors: weights, momentum, running sums, by name.
        record: builtins: the step to take next, history, best epoch, the recipe's identity.
    """

    tensors: dict[str, Tensor]
    record: dict[str, Any]


def state_file(output: str | Path, label: str = "training") -> Path:
    """Return where the state of the job that makes `output` lies: beside it, undeclared."""
    output = Path(output)
    return output.with_name(f".{output.name}.{label}.safetensors")


def save_state(path: Path, state: TrainingState) -> None:
    """Replace the state on disk, whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    with whole_file(path) as beside:
        save_file(tensors, beside, metadata={"record": json.dumps(state.record)})


def load_state(path: Path, identity: str) -> TrainingState | None:
    """Read the state that a run left.

    Args:
        path: where `save_state` wrote.
        identity: of the run: its recipe, seed and data. A state with another identity belongs
            to an older question and is ignored.

    Returns:
        The state, or None when there is none to go on from. A damaged file counts as none: the
        run then starts anew, which costs time but is never wrong.
    """
    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return TrainingState(tensors, record) if record.get("identity") == identity else None
