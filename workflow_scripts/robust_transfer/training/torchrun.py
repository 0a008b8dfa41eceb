"""A task on as many GPUs as the job was given: one process each, started by torchrun."""

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from robust_transfer.errors import UserError
from robust_transfer.training import worker

LIBRARY = Path(worker.__file__).parents[2]  # from where `-m` finds the library

PR_SET_PDEATHSIG = 1  # of prctl(2)


class ProcessFailedError(UserError):
    """A process of a training on several GPUs has ended early."""


def run_on(gpus: int, task: Callable[..., None], **settings: Any) -> None:
    """Do a task with one process a GPU, where there are several.

    Without CUDA the processes compute on the CPU.

    Args:
        gpus: that the job was given.
        task: a function of a module; it takes `settings`, and `processes` where there are several.
        **settings: builtins only; paths are absolute.

    Raises:
        ProcessFailedError: fewer GPUs are there, or a process failed; it has said why.
    """
    if gpus <= 1:
        task(**settings)
        return
    seen = torch.cuda.device_count()
    if torch.cuda.is_available() and seen < gpus:
        raise ProcessFailedError(
            f"The job asks for {gpus} GPUs, but sees {seen}. Ask for as many as it is given "
            "(resources of its rule, in the profile), or check the allocation."
        )
    threads = max(1, torch.get_num_threads() // gpus)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        _torchrun(gpus, [f"{task.__module__}:{task.__qualname__}", str(file), str(threads)])


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
