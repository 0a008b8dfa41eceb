"""Sides of a comparison in processes of their own, each started as its users start it.

How threads wait and how memory is kept is decided when a process starts: by the workflow for its
jobs, by nobody for a script. In one process all sides would run as one of them does.
"""

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from robust_transfer.job_environment import MEMORY, SLEEP, SPIN, job_environment
from robust_transfer.training.device import cpus, use_threads


def as_scripts() -> dict[str, str]:
    """Return the environment of a script: this one's, without what jobs are given."""
    given = MEMORY | SLEEP | SPIN
    return {name: value for name, value in os.environ.items() if name not in given}


def as_jobs(threads: int) -> dict[str, str]:
    """Return the environment of the workflow's only job on this machine.

    Args:
        threads: of the job.
    """
    return as_scripts() | job_environment({}, crowded=threads > cpus())


class Elsewhere:
    """An object in a process of its own.

    Args:
        make: a function of a module, called there; it returns the object.
        arguments: its arguments, picklable.
        environment: all environment variables of that process.
        threads: of torch, there.
    """

    def __init__(
        self, make: Callable[..., Any], *arguments: Any, environment: Mapping[str, str],
        threads: int,
    ) -> None:  # fmt: skip
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, threads, make, arguments))
        with _environment(environment):
            self._process.start()
        theirs.close()  # so that each side notices when the other ends

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the object, and wait for what it returns.

        Args:
            method: its name.
            arguments: picklable.

        Raises:
            Exception: what the method raises, or the making of the object before it.
            ChildProcessError: the process has ended.
        """
        try:
            self._pipe.send((method, arguments))
            done, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            raise ChildProcessError(f"a process of the benchmark ended with code {code}") from None
        if not done:
            raise answer
        return answer

    def end(self) -> None:
        """End the process, as soon as it has done what it was asked."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, threads: int, make: Callable[..., Any], given: tuple) -> None:
    """Make the object, and call its methods until nobody asks any more."""
    use_threads(threads)
    made: Any = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            method, arguments = pipe.recv()
            try:
                made = make(*given) if made is None else made
                answer = (True, getattr(made, method)(*arguments))
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = (False, error)
            pipe.send(answer)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables alone for a while: what is started meanwhile inherits them."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
