"""A real Slurm for tests: daemons in namespaces of their own, gone when the test is."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from workflow import environment

SCRIPT = Path(__file__).with_name("slurm_cluster.sh")
PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "scontrol",
    "unshare",
    "nsenter",
    "ip",
)


def why_not() -> str | None:
    """Say why there can be no Slurm here, or None."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "only root may start Slurm in namespaces of its own"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    return "no permission for namespaces of its own" if tried.returncode else None


def search_path() -> str:
    return f"{environment()['PATH']}:/usr/sbin:/sbin"


class Cluster:
    """A running Slurm; commands run inside its namespaces."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.inside = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid"]
        self.folder = folder
        self.started: list[subprocess.Popen] = []

    def start(self, *words: str, cwd: Path, log: Path) -> subprocess.Popen:
        """Start a command in a session of its own, with the terminal's reaction to Ctrl-C."""
        with log.open("w") as said:
            process = subprocess.Popen(
                [*self.inside, f"--wdns={cwd}", "--", *words],
                cwd=cwd,
                env=environment() | {"PATH": search_path(), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        self.started.append(process)
        return process

    def ask(self, *words: str) -> str:
        """Run a short command and return what it says."""
        return subprocess.run(
            [*self.inside, "--", "timeout", "-k", "5", "20", *words],
            env=environment() | {"PATH": search_path()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def jobs(self, *states: str) -> dict[str, str]:
        """The jobs in some states: Slurm's id -> what the workflow calls it."""
        chosen = [f"--states={','.join(states)}"] if states else []
        lines = self.ask("squeue", "--noheader", "--format=%i %k", *chosen).splitlines()
        return dict(line.split(maxsplit=1) for line in lines)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start Slurm, give it, and end it with all its jobs."""
    folder.mkdir(parents=True)
    words = ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork"]
    cluster = None
    with (folder / "cluster.log").open("w+") as log:
        holder = subprocess.Popen(
            [*words, "--mount-proc", "--kill-child", str(SCRIPT), str(folder)],
            env=environment() | {"PATH": search_path()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            said = holder.stdout.readline()
            assert said == "ready\n", said + (folder / "cluster.log").read_text()
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text()
            cluster = Cluster(int(children.split()[0]), folder)
            yield cluster
        finally:
            holder.kill()  # --kill-child ends the first process of the namespace, and so all
            holder.wait()
            for process in cluster.started if cluster else ():
                process.kill()  # what a failed test left
                process.wait()
            holder.stdout.close()
