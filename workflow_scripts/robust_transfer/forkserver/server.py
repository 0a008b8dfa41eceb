"""A process that has loaded the libraries, and forks itself for each job that asks (`client.py`).

It serves one run of the workflow and ends with it; jobs that still run then are seen to their end.
Project code is no part of what it loads: each job reads that as it is when the job starts.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

from robust_transfer.forkserver.client import SIZE, STATUS, is_own

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # of Linux's prctl
SECONDS_TO_ASK = 10.0  # for a client to say what it wants


class Server:
    """Forks for each client, and tells it how its job ended.

    Args:
        address: name in Linux's abstract namespace of sockets.
        process: the run of the workflow: when it ends, no more jobs are begun.

    Raises:
        OSError: the address is taken, or the run has ended.
    """

    def __init__(self, address: str, process: int) -> None:
        run = os.pidfd_open(process)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(f"\0{address}")
        self.listener.listen(128)
        self.waited = selectors.PollSelector()  # epoll would be shared with the forks
        self.waited.register(self.listener, selectors.EVENT_READ, self.begin)
        self.clients: dict[int, tuple[int, socket.socket]] = {}  # job -> its pidfd, its client
        self.waited.register(run, selectors.EVENT_READ, self.stop)
        self.asked: list[str] = []  # of a fork: what it has to run

    def serve(self) -> list[str]:
        """Serve until the run has ended and its jobs too.

        Returns:
            In a fork alone: the script, its folder, and its variables as `NAME=value`.
        """
        while self.waited.get_map():
            for key, _ in self.waited.select():
                if self.waited.get_map().get(key.fd) is key:  # else dropped in this very round
                    key.data(key.fileobj)
                if self.asked:
                    return self.asked
        sys.exit()

    def stop(self, run: int) -> None:
        """Take no more jobs: the run of the workflow is over."""
        self.waited.unregister(run)
        self.waited.unregister(self.listener)
        self.listener.close()

    def begin(self, listener: socket.socket) -> None:
        """Fork for a client."""
        client, _ = listener.accept()
        client.settimeout(SECONDS_TO_ASK)
        try:
            if not is_own(client):
                raise PermissionError
            request, streams = _read_request(client)
        except OSError:
            client.close()
            return
        script, folder, modules, *variables = os.fsdecode(request).split("\0")
        load(modules.split(","))
        try:
            job = os.fork()
        except OSError:  # no memory, too many processes: the client starts a new one, or says so
            client.close()
            for stream in streams:
                os.close(stream)
            return
        if not job:
            self._become_job(streams)
            self.asked = [script, folder, *variables]
            return
        for stream in streams:
            os.close(stream)
        client.settimeout(None)
        ended = os.pidfd_open(job)
        self.clients[job] = ended, client
        self.waited.register(ended, selectors.EVENT_READ, lambda _: self.end(job))
        self.waited.register(client, selectors.EVENT_READ, lambda _: self.abandon(job))
        with contextlib.suppress(OSError):
            client.sendall(SIZE.pack(job))

    def abandon(self, job: int) -> None:
        """End a job whose client was killed."""
        self.waited.unregister(self.clients[job][1])
        os.kill(job, signal.SIGKILL)

    def end(self, job: int) -> None:
        """Tell a client how its job ended."""
        ended, client = self.clients.pop(job)
        _, status = os.waitpid(job, 0)
        self.waited.unregister(ended)
        os.close(ended)
        if client in self.waited.get_map():
            self.waited.unregister(client)
        with contextlib.suppress(OSError):
            client.sendall(STATUS.pack(status))
        client.close()

    def _become_job(self, streams: list[int]) -> None:
        """In the fork: take the client's streams, let go of all that is the server's."""
        server = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no job without its server
        if os.getppid() != server:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for key in list(self.waited.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            else:
                os.close(key.fd)
        for stream, given in enumerate(streams):
            os.dup2(given, stream)
            os.close(given)


def _read_request(client: socket.socket) -> tuple[bytes, list[int]]:
    """Read what a client wants run, and its three streams."""
    size, streams, _, _ = socket.recv_fds(client, SIZE.size, 3)
    if len(size) < SIZE.size:  # it was killed before it asked
        raise ConnectionError
    request, wanted = bytearray(), SIZE.unpack(size)[0]
    while len(request) < wanted:
        part = client.recv(wanted - len(request))
        if not part:
            raise ConnectionError
        request += part
    return bytes(request), streams


def load(modules: list[str]) -> None:
    """Load what is not loaded yet; it stays shared between the forks."""
    missing = [module for module in modules if module not in sys.modules]
    if not missing:
        return
    gc.unfreeze()
    for module in missing:
        with contextlib.suppress(Exception):  # the job that needs it will say so
            importlib.import_module(module)
    gc.collect()
    gc.freeze()


def run(script: str, folder: str, *variables: str) -> NoReturn:
    """Run a script in this process as `python script` would in a new one, and end."""
    from threadpoolctl import threadpool_limits

    for name in [name for name in sys.modules if name.partition(".")[0] == "robust_transfer"]:
        del sys.modules[name]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variable.partition("=")[::2] for variable in variables)
    ctypes.CDLL(None).prctl(PR_SET_NAME, Path(script).name.encode())
    sys.argv = [script]
    sys.path[0] = str(Path(script).parent)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
    # Libraries read this variable when they are loaded, which was before this job.
    asked, cpus = int(os.environ.get("OMP_NUM_THREADS", "1")), len(os.sched_getaffinity(0))
    threadpool_limits(min(asked, cpus))
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    end_now(code)


def end_now(code: int) -> NoReturn:
    """End this fork: what it registered is done, but nothing that it shares is taken down.

    To free what the server has loaded, object by object, would copy all of it first: more than a
    second of a processor. Forks of `multiprocessing` end in the same way.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def main(address: str, process: str) -> None:
    """Take the address, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from the terminal: for the jobs to decide
    run(*Server(address, int(process)).serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
