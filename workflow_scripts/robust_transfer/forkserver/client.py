"""Runs one job's script in a fork of the server, as if it were run here.

Each job's command begins with this file, run by itself (`python -I -S client.py COMMAND...`): it
imports nothing but small parts of the standard library. What is not one of the workflow's scripts,
or finds no server, is run here in the ordinary way.
"""

import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

SERVER = "ROBUST_TRANSFER_SERVER"  # variable, JSON: `address`, `process` and `modules`
SIZE = struct.Struct("!Q")  # of a request, in bytes
STATUS = struct.Struct("!i")  # as os.waitpid gives it
PEER = struct.Struct("3i")  # process, user and group at the other end of a socket
SECONDS_TO_LISTEN = 20.0  # for a server to begin to listen; loading comes after that
PASSED_ON = (signal.SIGTERM, signal.SIGHUP)  # SIGINT reaches the whole group from the terminal


def is_own(connection: socket.socket) -> bool:
    """Say whether the other end of a connection belongs to this user."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
    return PEER.unpack(peer)[1] == os.getuid()


def connect(address: str) -> socket.socket | None:
    """Connect to the server of an address in Linux's abstract namespace; None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"\0{address}")
        if not is_own(connection):
            raise PermissionError(f"the server at {address} belongs to another user")
    except OSError as error:
        connection.close()
        if isinstance(error, ConnectionRefusedError):
            return None
        raise
    return connection


def start_server(address: str, process: int) -> int:
    """Start a server and return its process; of two at once, one finds the address taken."""
    server = Path(__file__).with_name("server.py")
    places = [str(server.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    # A process with threads should not fork; each job sets its own number.
    variables = {"PYTHONPATH": os.pathsep.join(places), "OPENBLAS_NUM_THREADS": "1"}
    return os.posix_spawn(
        sys.executable,
        [sys.executable, str(server), address, str(process)],
        os.environ | variables,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            *[(os.POSIX_SPAWN_DUP2, 0, stream) for stream in (1, 2)],
        ],
    )


def reach_server(address: str, process: int) -> socket.socket:
    """Connect to the server, which the first job starts.

    Args:
        address: of the server, a name in Linux's abstract namespace of sockets.
        process: number of the process that the server serves.

    Raises:
        TimeoutError: no server began to listen.
    """
    connection = connect(address)
    if connection:
        return connection
    started, until = start_server(address, process), time.monotonic() + SECONDS_TO_LISTEN
    ended = False
    while not ended and time.monotonic() < until:
        time.sleep(0.01)
        ended = os.waitpid(started, os.WNOHANG)[0] == started  # then another has the address
        connection = connect(address)
        if connection:
            return connection
    raise TimeoutError(f"no server at {address}")


def ask(connection: socket.socket, script: str, modules: list[str]) -> int | None:
    """Have a script run in a fork of the server, with this process's streams and variables.

    Args:
        connection: to the server.
        script: path of a Python file.
        modules: that the server loads before it forks, unless it has.

    Returns:
        How it ended, as `os.waitpid` says it; None if it was never begun.

    Raises:
        ChildProcessError: it was begun, and the server is gone.
    """
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    request = os.fsencode("\0".join([script, os.getcwd(), ",".join(modules), *variables]))
    try:
        socket.send_fds(connection, [SIZE.pack(len(request))], [0, 1, 2])
        connection.sendall(request)
        child = connection.recv(SIZE.size, socket.MSG_WAITALL)
    except ConnectionError:
        return None
    if len(child) < SIZE.size:
        return None
    for each in PASSED_ON:
        signal.signal(each, lambda number, _: os.kill(SIZE.unpack(child)[0], number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = connection.recv(STATUS.size, socket.MSG_WAITALL)
    except ConnectionError:
        status = b""
    if len(status) < STATUS.size:
        raise ChildProcessError("the process that ran this job is gone")
    return STATUS.unpack(status)[0]


def end_as(status: int) -> None:
    """End this process as another ended: with its exit code, or by the same signal."""
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))


def main(words: list[str]) -> None:
    """Run a command: in a fork if it is this Python with a script of the workflow, else here."""
    given = json.loads(os.environ.get(SERVER) or "{}")
    # A script's file is a copy: `tmp<letters>.<name>.py`.
    name = words[-1].split(".")[-2] if words[-1].endswith(".py") else ""
    if len(words) == 2 and words[0] == sys.executable and name in given.get("modules", ()):
        try:
            connection = reach_server(given["address"], given["process"])
            status = ask(connection, words[1], given["modules"][name])
        except OSError as error:
            if isinstance(error, ChildProcessError):
                sys.exit(f"Error: {error}. Run again to go on.")
            print(f"Jobs start one by one: {error}", file=sys.stderr)
            status = None
        if status is not None:
            end_as(status)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
