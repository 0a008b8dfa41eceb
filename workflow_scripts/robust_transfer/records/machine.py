"""Software, machine and settings that a job's numbers may depend on."""

import functools
import os
import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

#: Environment variables that decide how numbers are added up, and on what.
VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
#: What a cluster says of a job, under the names that survive into it.
SLURM = {
    "job": "SLURM_JOB_ID",
    "array_job": "SLURM_ARRAY_JOB_ID",
    "array_task": "SLURM_ARRAY_TASK_ID",
    "cluster": "SLURM_CLUSTER_NAME",
    "restarts": "SLURM_RESTART_COUNT",
}


@functools.cache
def environment() -> dict[str, Any]:
    """Describe software, machine and determinism flags.

    Returns:
        Versions of Python and of every installed distribution, the platform, the devices that
        torch sees (only when the job has loaded torch), and the Slurm job, if any.
    """
    return {
        "python": platform.python_version(),
        "packages": packages(),
        "platform": platform.platform(),
        "processor": _processor(),
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm": {key: os.environ[name] for key, name in SLURM.items() if name in os.environ},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "driver": _driver(),
        **_torch_state(),
    }


@functools.cache
def packages() -> dict[str, str]:
    """Return the version of each installed distribution, by normalised name, sorted.

    Read from the names of the folders: opening every METADATA file costs a quarter of a second.
    """
    found: dict[str, str] = {}
    for place in reversed(sys.path):  # the first of a name is the one that is imported
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                distribution, _, version = name.removesuffix(".dist-info").rpartition("-")
                found[normal_name(distribution)] = version
    return dict(sorted(found.items()))


def normal_name(distribution: str) -> str:
    """Spell a distribution's name as indexes compare it. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _processor() -> str:
    """Name the processor: bits are promised to repeat on the same one only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _driver() -> str | None:
    """Name the driver of the GPU; None where there is none."""
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None


def _torch_state() -> dict[str, Any]:
    """Describe devices and flags, without loading torch where the job had no need of it.

    Nor where it is loaded for other jobs alone, as in a fork of a process that has it.
    """
    torch = sys.modules.get("torch")
    ours = [each for name, each in sys.modules.items() if name.startswith("robust_transfer.")]
    if torch is None or not any(vars(each).get("torch") is torch for each in ours):
        return {}
    cuda = torch.cuda.is_available()
    return {
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch_threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }
