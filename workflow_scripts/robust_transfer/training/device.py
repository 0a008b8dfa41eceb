"""Where the arithmetic runs."""

import os
import resource
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

MEMORY = Path("/proc/meminfo")


def best_device() -> torch.device:
    """Return the GPU that this job was given, else the CPU.

    Which GPU is the scheduler's choice (CUDA_VISIBLE_DEVICES); a job sees its own as the first.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision(device: torch.device) -> torch.autocast:
    """Return a context in which networks compute in bfloat16 on GPUs that have it, else as ever."""
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=has_it)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Put a small tensor of the CPU on a device; a GPU takes it while it computes on.

    From memory that is not pinned a GPU copies only once all its work is done.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def use_threads(threads: int) -> None:
    """Let torch use as many CPU threads as the job was given, and no more than there are CPUs.

    Threads that share a CPU wait for each other at each operation: on two busy CPUs eight took ten
    times as long as one.

    Args:
        threads: of the job.
    """
    torch.set_num_threads(max(1, min(threads, cpus())))


def cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; a cluster binds a job to its own
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def to_device(images: np.ndarray, device: torch.device) -> Tensor:
    """Put (n, height, width, 3) uint8 images on a device as (n, 3, height, width).

    The bytes stay in the order of the cache, which is what torch calls channels_last.
    """
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory that this process has held: on the GPU, or in all on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_memory_bytes(device: torch.device) -> float:
    """Return the memory that is free now: the GPU's, or the machine's; infinity if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not MEMORY.is_file():  # elsewhere than on Linux
        return float("inf")
    lines = (line.split() for line in MEMORY.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}["MemAvailable:"] * 1024
