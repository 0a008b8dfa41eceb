"""One process of a training on several GPUs; torchrun starts it."""

import json
import sys
from pathlib import Path

from robust_transfer.errors import UserError
from robust_transfer.training.device import use_threads
from robust_transfer.training.pretrain import pretrain
from robust_transfer.training.processes import join_processes, leave_processes


def main(request: str, threads: str) -> None:
    """Do this process's share.

    Args:
        request: a JSON file: the arguments of `pretrain`.
        threads: CPU threads of this process.
    """
    use_threads(int(threads))
    processes = join_processes()
    try:
        pretrain(**json.loads(Path(request).read_text(encoding="utf-8")), processes=processes)
    except UserError as error:
        raise SystemExit(f"Process {processes.rank}: {error}") from None
    leave_processes()


if __name__ == "__main__":
    main(*sys.argv[1:])
