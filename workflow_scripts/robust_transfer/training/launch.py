"""Pretraining on as many GPUs as the job was given."""

from pathlib import Path
from typing import Any

from robust_transfer.training.pretrain import pretrain
from robust_transfer.training.torchrun import run_on


def pretrain_on(gpus: int, cache_folder: str | Path, **settings: Any) -> None:
    """Train one backbone on its source, with one process a GPU where there are several.

    The batch of a step is the same whatever their number, cut into as many shares; a run may go
    on with another number than it began with. Without CUDA the processes compute on the CPU.

    Args:
        gpus: that the job was given.
        cache_folder: the source's image cache.
        **settings: of `pretrain`: builtins only.

    Raises:
        ProcessFailedError: fewer GPUs are there, or a process failed; it has said why.
    """
    paths = {name: str(Path(path).absolute()) for name, path in settings["outputs"].items()}
    folder = str(Path(cache_folder).absolute())
    run_on(gpus, pretrain, cache_folder=folder, **(settings | {"outputs": paths}))
