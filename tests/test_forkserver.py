"""Jobs are forks of a process that has loaded what they need: they behave as if they were not."""

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from robust_transfer.forkserver.client import SERVER, connect, reach_server
from robust_transfer.records.digests import digest_modules
from workflow import SHARED, copy_workflow, snakemake

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow_scripts"
CLIENT = SCRIPTS / "robust_transfer/forkserver/client.py"
FORKS = (ROOT / "rules/forks.smk").read_text(encoding="utf-8")
START = (sys.executable, "-I", "-S", str(CLIENT))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's sockets and pidfd")


def processes(word):
    """The processes that have a word in their command line."""
    found = subprocess.run(["pgrep", "--full", word], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def ended(process, seconds=20):
    """Whether a process is gone, or soon is."""
    for _ in range(seconds * 20):
        stat = Path(f"/proc/{process}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


class Run:
    """A run of the workflow, as the server sees it: a process, and scripts that it starts."""

    def __init__(self, folder):
        self.folder, self.modules = folder, ("colorsys",)
        self.controller = subprocess.Popen(["sleep", "600"])
        self.address = f"robust-transfer-test-{uuid.uuid4().hex}"

    @property
    def variables(self):
        server = {
            "address": self.address,
            "process": self.controller.pid,
            "modules": {"script": self.modules},
        }
        return os.environ | {SERVER: json.dumps(server)}

    def begin(self, text, **options):
        script = self.folder / f"tmp{uuid.uuid4().hex}.script.py"  # as the workflow names copies
        script.write_text(text, encoding="utf-8")
        options = {"cwd": self.folder, "env": self.variables} | options
        return subprocess.Popen(
            [*START, sys.executable, str(script)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip

    def finish(self, text, **options):
        """Run a script to its end: exit code, what it printed and what it complained of."""
        job = self.begin(text, **options)
        printed, complained = job.communicate(timeout=60)
        return job.returncode, printed, complained

    @property
    def server(self):
        return processes(self.address)[0]  # the oldest: jobs are forks of it


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    yield run
    run.controller.kill()
    run.controller.wait()
    for process in processes(run.address):
        assert ended(process), "the server outlives its run"


def wait_for(file):
    """Wait until a file holds a number, and return it."""
    for _ in range(400):
        if file.exists() and file.read_text().endswith("\n"):
            return int(file.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{file} was never written")


SAY_PROCESS = "import os, time\nopen('job', 'w').write(f'{os.getpid()}\\n')\n"


def test_a_job_finds_what_the_server_has_loaded_and_nothing_of_the_project(run):
    code, printed, complained = run.finish(
        "import sys\nprint('colorsys' in sys.modules, 'robust_transfer' in sys.modules)"
    )
    assert (code, printed, complained) == (0, "True False\n", "")


def test_a_job_sees_the_world_as_a_new_process_would(run):
    text = (
        "import os, sys, multiprocessing\n"
        "print(__name__, __file__, sys.argv, sys.path[0], os.getcwd(), os.environ['COLOUR'],\n"
        "      len(os.environ), sys.modules['__main__'].__file__, os.isatty(1), sys.executable)\n"
        "print('wrong', file=sys.stderr)\n"
    )
    (run.folder / "elsewhere").mkdir()
    variables = run.variables | {"COLOUR": "blå"}
    given = {"cwd": run.folder / "elsewhere", "env": variables}
    run.finish("pass")  # the server has other variables and another folder than the next job
    code, printed, complained = run.finish(text, **given)
    script = printed.split()[1]
    as_new = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, **given
    )
    assert (code, printed, complained) == (0, as_new.stdout, as_new.stderr)


def test_spawned_workers_of_a_job_find_its_functions(run):
    text = (
        "import multiprocessing\n"
        "def double(x):\n    return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [1, 2]))\n"
    )
    assert run.finish(text)[:2] == (0, "[2, 4]\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [("raise SystemExit(7)", 7), ("raise SystemExit('no')", 1), ("1 / 0", 1), ("", 0),
     ("import os; os._exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
     ("import os; os.abort()", -signal.SIGABRT)],
)  # fmt: skip
def test_a_job_ends_as_its_script_does(run, text, code):
    assert run.finish(text)[0] == code


def test_what_a_script_registered_for_its_end_is_done(run):
    text = "import atexit\natexit.register(print, 'after')\nprint('before')"
    assert run.finish(text)[1] == "before\nafter\n"


def test_the_server_has_one_thread_so_that_it_may_fork(run):
    run.modules = ("numpy", "torch", "pandas")
    assert run.finish("pass")[0] == 0
    assert len(list(Path(f"/proc/{run.server}/task").iterdir())) == 1


def test_jobs_that_start_at_once_share_one_server(run):
    jobs = [run.begin("import os\nprint(os.getppid())") for _ in range(4)]
    parents = {job.communicate(timeout=60)[0] for job in jobs}
    assert parents == {f"{run.server}\n"}


def test_a_client_that_is_gone_before_it_asks_harms_no_other(run):
    assert run.finish("pass")[0] == 0
    server = run.server
    connect(run.address).close()
    code, printed, _ = run.finish("import os\nprint(os.getppid())")
    assert (code, printed) == (0, f"{server}\n")


def test_a_killed_client_takes_its_job_along(run):
    job = run.begin(SAY_PROCESS + "time.sleep(600)")
    process = wait_for(run.folder / "job")
    job.kill()
    job.communicate()
    assert ended(process)
    assert run.finish("print('next')")[1] == "next\n"


def test_a_job_is_told_to_end_through_its_client(run):
    job = run.begin(SAY_PROCESS + "time.sleep(600)")
    process = wait_for(run.folder / "job")
    job.terminate()
    job.communicate(timeout=20)
    assert job.returncode == -signal.SIGTERM
    assert ended(process)


def test_an_interrupt_reaches_the_job_once_and_the_client_waits_for_it(run):
    text = SAY_PROCESS + "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('saved')"
    job = run.begin(text, start_new_session=True)
    wait_for(run.folder / "job")
    os.killpg(job.pid, signal.SIGINT)  # as the terminal does
    assert job.communicate(timeout=20)[0] == "saved\n"
    assert job.returncode == 0


def test_jobs_end_with_a_server_that_is_killed_and_say_so(run):
    job = run.begin(SAY_PROCESS + "time.sleep(600)")
    process = wait_for(run.folder / "job")
    os.kill(run.server, signal.SIGKILL)
    _, complained = job.communicate(timeout=20)
    assert job.returncode == 1
    assert "the process that ran this job is gone. Run again" in complained
    assert ended(process)


def test_a_running_job_is_seen_to_its_end_when_its_run_is_over(run):
    job = run.begin(SAY_PROCESS + "time.sleep(1)\nprint('done')")
    wait_for(run.folder / "job")
    server = run.server
    run.controller.kill()
    run.controller.wait()
    assert job.communicate(timeout=20)[0] == "done\n"
    assert job.returncode == 0
    assert ended(server)


def test_without_a_server_the_script_runs_all_the_same(run):
    run.controller.kill()
    run.controller.wait()
    code, printed, complained = run.finish("print('alone')")
    assert (code, printed) == (0, "alone\n")
    assert complained.startswith("Jobs start one by one: no server at ")


def test_a_module_that_cannot_be_loaded_is_left_to_the_job_that_needs_it(run):
    run.modules = ("no_such_module", "colorsys")
    code, _, complained = run.finish("import no_such_module")
    assert code == 1
    assert "No module named 'no_such_module'" in complained


def test_what_is_no_script_of_the_workflow_runs_as_it_is(run):
    printed = subprocess.run(
        [*START, "echo", "a b", "c"], capture_output=True, text=True, check=True, env=run.variables
    )
    assert printed.stdout == "a b c\n"
    assert processes(run.address) == []


def test_the_server_of_another_user_is_refused(run, monkeypatch):
    run.finish("pass")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="belongs to another user"):
        reach_server(run.address, run.controller.pid)


def test_threads_are_those_of_the_job_not_of_the_server(run):
    text = (
        "import numpy, threadpoolctl\n"
        "print({each['num_threads'] for each in threadpoolctl.threadpool_info()})"
    )
    for threads in (1, 2, 1):
        variables = run.variables | {"OMP_NUM_THREADS": str(threads)}
        assert run.finish("import numpy\n" + text, env=variables)[1] == f"{{{threads}}}\n"


def imports_when_loaded(path):
    """The libraries that a file imports as soon as it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        yield from (name.partition(".")[0] for name in names)


def test_torch_is_loaded_for_the_jobs_that_need_it_and_no_other():
    needed = set()
    for script in SCRIPTS.glob("*/*.py"):
        if script.parent.name == "robust_transfer":
            continue
        names = digest_modules(script, SCRIPTS)
        files = [SCRIPTS.joinpath(*name.split(".")).with_suffix(".py") for name in names]
        if any("torch" in imports_when_loaded(file) for file in files if file.is_file()):
            needed.add(script.stem)
    (listed,) = re.findall(r"WITH_NETWORKS = \((.*?)\)", FORKS, flags=re.DOTALL)
    assert set(re.findall(r"\w+", listed)) == needed


@pytest.mark.parametrize(("needs", "recorded"), [("errors", False), ("training.device", True)])
def test_a_record_tells_of_torch_only_where_the_job_has_use_for_it(run, needs, recorded):
    run.modules = ("torch",)
    text = (
        f"import robust_transfer.{needs}\n"
        "from robust_transfer.records.machine import environment\n"
        "print('torch_threads' in environment())"
    )
    code, printed, complained = run.finish(text)
    assert (code, printed, complained) == (0, f"{recorded}\n", "")


SHELL_RULES = """
include: "Snakefile"


rule shell_rules_all:
    input:
        "folder.txt",


rule folder:
    output:
        "folder.txt",
    shell:
        "for word in a 'b c'; do echo $word; done > {output}; A=1 {sys.executable} -c 'print(2)' "
        ">> {output}; false | true && echo careless >> {output}; true"
"""


@pytest.mark.workflow
def test_commands_of_other_rules_run_as_they_are_and_stop_at_errors(tmp_path):
    folder = copy_workflow(tmp_path / "extended")
    (folder / "more.smk").write_text(SHELL_RULES.strip() + "\n", encoding="utf-8")
    done = snakemake(folder, "folder.txt", "--snakefile", "more.smk")
    assert done.code == 0, done.said
    assert (folder / "folder.txt").read_text() == "a\nb c\n2\n"
    (folder / "more.smk").write_text(SHELL_RULES.replace("; true", ""), encoding="utf-8")
    assert snakemake(folder, "folder.txt", "--forceall", "--snakefile", "more.smk").code != 0


@pytest.mark.workflow
def test_forked_jobs_give_the_same_bytes_as_new_processes(finished_study, tmp_path, monkeypatch):
    monkeypatch.setenv(SERVER, "none")
    folder = copy_workflow(tmp_path / "new_processes")
    (wanted,) = finished_study.glob(
        "results/tiny/transfer/*eps0.25-seed1/digits/*/full/clean/all/seed0/predictions.npz"
    )
    wanted = wanted.relative_to(finished_study)
    done = snakemake(folder, wanted)
    assert done.code == 0, done.said
    files = [path.relative_to(folder) for path in folder.glob("results/tiny/**/*.safetensors")]
    assert len(files) == 2  # the best weights and the last
    for file in [wanted, *files]:
        assert (folder / file).read_bytes() == (finished_study / file).read_bytes(), file


@pytest.mark.workflow
def test_runs_given_the_number_of_a_process_share_its_server(finished_study):
    """The study ran so: a server of its own would live on until that process ends."""
    last = os.environ[SHARED].encode()
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            commands.append(path.read_bytes().rstrip(b"\0").split(b"\0"))
    servers = [words for words in commands if words[1:2] and words[1].endswith(b"/server.py")]
    assert len([words for words in servers if words[-1] == last]) == 1
