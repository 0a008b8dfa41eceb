"""The most memory that a training step takes."""

import ctypes
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures the peak above what was held when it was made.

    On a GPU: what torch allocated, weights included. On a CPU: resident memory, as far as Linux
    lets a process reset its own high-water mark; None elsewhere.

    Args:
        device: which memory.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self._held: int | None = torch.cuda.memory_allocated(device)
        else:
            self._held = _reset_high_water_mark()

    def bytes(self) -> int | None:
        """Return the peak so far; None where it cannot be known."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - (self._held or 0)
        return None if self._held is None else _status("VmHWM") - self._held


def _reset_high_water_mark() -> int | None:
    """Give unused memory back, forget the peak, and return what is held."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
        return _status("VmRSS")
    except (OSError, AttributeError, KeyError):
        return None


def _status(name: str) -> int:
    """Return one line of the process's status, in bytes."""
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if words[0] in (f"{name}:",)}[
        f"{name}:"
    ] * 1024
