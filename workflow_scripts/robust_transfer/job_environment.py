"""What jobs are started with: how their memory is kept, and how their threads wait."""

from collections.abc import Mapping

# glibc gives large blocks back to the system at once and asks for them again: page faults took
# 10 to 17% of a training step on a CPU.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "10000000000"}
# Threads of OpenMP that wait for each other sleep. Beside other jobs on their CPUs, a small
# network's step took up to thirty times as long with two threads that spin.
SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
# Where each has a CPU of its own, they spin for some microseconds first: sleeping and waking
# cost a lone job up to a third of its speed. GNU's OpenMP, which torch has on Linux, takes the
# count before the policy; others sleep.
SPIN = {"GOMP_SPINCOUNT": "5000"}


def job_environment(given: Mapping[str, str], *, crowded: bool) -> dict[str, str]:
    """Choose the environment variables that jobs need beside those that there are.

    None of them changes a result. What is given is kept: the user's own choice, or that of the
    process which started this one.

    Args:
        given: the environment of this process.
        crowded: whether jobs may have more threads together than there are CPUs.

    Returns:
        Variables to add, none of them in `given`.
    """
    waiting = SLEEP if crowded else SLEEP | SPIN
    chosen = {} if given.keys() & (SLEEP | SPIN).keys() else waiting
    return {name: value for name, value in (MEMORY | chosen).items() if name not in given}
