"""Pretraining on as many GPUs as the job was given: one process each, started by torchrun."""

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from robust_transfer.errors import UserError
from robust_transfer.training import worker
from robust_transfer.training.pretrain import pretrain

LIBRARY = Path(worker.__file__).parents[2]  # from where `-m` finds the library

PR_SET_PDEATHSIG = 1  # of prctl(2)


class ProcessFailedError(UserError):
    """A process of a training on several GPUs has ended early."""


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
    if gpus <= 1:
        pretrain(cache_folder, **settings)
        return
    seen = torch.cuda.device_count()
    if torch.cuda.is_available() and seen < gpus:
        raise ProcessFailedError(
            f"The job asks for {gpus} GPUs, but sees {seen}. Ask for as many as it is given "
            "(resources of the rule pretrain_backbone, in the profile), or check the allocation."
        )
    paths = {name: str(Path(path).absolute()) for name, path in settings["outputs"].items()}
    threads = max(1, torch.get_num_threads() // gpus)
    request = settings | {"cache_folder": str(Path(cache_folder).absolute()), "outputs": paths}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        _torchrun(gpus, [str(file), str(threads)])


def end_with_parent() -> None:
    """Have Linux end this process when the one that started it dies, however that happens.

    A killed job must not leave processes behind that train on and write its outputs.
    """
    with contextlib.suppress(AttributeError, OSError):  # elsewhere than on Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _torchrun(processes: int, words: list[str]) -> None:
    """Run the worker in several processes and pass on what they say, into the job's log too."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", worker.__name__, *words]
    with subprocess.Popen(
        command,
        cwd=LIBRARY,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent,
    ) as running:
        assert running.stdout is not None
        try:
            for line in running.stdout:
                sys.stderr.write(line)
        except BaseException:
            running.terminate()  # torchrun ends its processes in turn
            raise
    if running.returncode:
        raise ProcessFailedError(
            f"Training in {processes} processes failed; the first process that says why stands "
            "above. Run again to go on from the last state."
        )
