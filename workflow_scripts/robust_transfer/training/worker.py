"""One process of a task on several GPUs; torchrun starts it."""

import importlib
import json
import sys
from pathlib import Path

from robust_transfer.errors import UserError
from robust_transfer.training.device import use_threads
from robust_transfer.training.processes import join_processes, leave_processes


def main(task: str, request: str, threads: str) -> None:
    """Do this process's share.

    Args:
        task: `module:function`.
        request: a JSON file: the arguments of the task.
        threads: CPU threads of this process.
    """
    use_threads(int(threads))
    module, name = task.split(":")
    share = getattr(importlib.import_module(module), name)
    processes = join_processes()
    try:
        share(**json.loads(Path(request).read_text(encoding="utf-8")), processes=processes)
    except UserError as error:
        raise SystemExit(f"Process {processes.rank}: {error}") from None
    leave_processes()


if __name__ == "__main__":
    main(*sys.argv[1:])
