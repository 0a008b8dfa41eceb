"""Training steps that are built, run and timed in one process."""

import torch

from robust_transfer.benchmark.cases import Case
from robust_transfer.benchmark.clock import seconds_of
from robust_transfer.benchmark.memory import PeakMemory
from robust_transfer.benchmark.variants import Kept, Step, make_step


class TimedSteps:
    """Steps by variant.

    Args:
        device: where they run.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kept = Kept()
        self.steps: dict[str, Step] = {}

    def warm(self, variant: str, case: Case, batch_size: int) -> tuple[float, int | None]:
        """Build a step and take it twice.

        The first time allocates, compiles and tunes.

        Args:
            variant: a key of `MEANING`.
            case: what is trained.
            batch_size: images a step.

        Returns:
            Seconds of the second time; bytes of memory at the peak, None where they are unknown.
        """
        memory = PeakMemory(self.device)
        # What is compiled is worth keeping; on a CPU nothing is, and each case builds its own.
        kept = self.kept if self.device.type == "cuda" else None
        step = make_step(variant, case, batch_size, self.device, kept)
        self.steps[variant] = step
        seconds_of(step, self.device)
        return seconds_of(step, self.device), memory.bytes()

    def forget(self) -> None:
        """Let go of all steps, and so of their memory."""
        self.steps.clear()

    def seconds(self, variant: str, repeats: int) -> float:
        """Return the seconds of one step, as the mean of some in a row.

        Args:
            variant: which has been warmed.
            repeats: how many steps.
        """
        return seconds_of(self.steps[variant], self.device, repeats)
