"""Several processes that train one model on one node, each with a GPU and a share of every batch.

Data parallel, as the paper's code: gradients are summed over the processes, BatchNorm normalises
each share by its own statistics, and the running statistics are those of the first process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(hours=2)  # one process may evaluate or write while others wait


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    @property
    def rows(self) -> slice:
        """Which items of a batch, or of any list, are this process's."""
        return slice(self.rank, None, self.count)

    def named(self, purpose: str) -> str:
        """Name the purpose of random numbers that differ from process to process."""
        return f"{purpose} of process {self.rank}" if self.rank else purpose

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients of all processes, in place, and return their added losses.

        Args:
            parameters: those without a gradient are left out, on every process alike.
            loss: scalar, or a vector of parts.
        """
        if self.count == 1:
            return loss
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([each.reshape(-1) for each in (*gradients, loss)])
        distributed.all_reduce(flat)
        tensors = [*gradients, loss.clone()]
        sizes = [each.numel() for each in tensors]
        for gradient, total in zip(tensors, flat.split(sizes), strict=True):
            gradient.copy_(total.view(gradient.shape))
        return tensors[-1]

    def share_statistics(self, model: nn.Module) -> None:
        """Give every process the first one's BatchNorm statistics."""
        buffers = [each for each in model.buffers() if each.is_floating_point()]
        if self.count == 1 or not buffers:
            return
        flat = torch.cat([each.reshape(-1) for each in buffers])
        distributed.broadcast(flat, src=0)
        sizes = [each.numel() for each in buffers]
        for buffer, first in zip(buffers, flat.split(sizes), strict=True):
            buffer.copy_(first.view(buffer.shape))

    def total(self, counts: Tensor) -> Tensor:
        """Add up a small tensor over all processes."""
        if self.count > 1:
            distributed.all_reduce(counts)
        return counts

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Processes()


def join_processes() -> Processes:
    """Join the processes that torchrun started: with NCCL on GPUs, with gloo on CPUs.

    Returns:
        This process; `leave_processes` ends the bond.
    """
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    processes = Processes(distributed.get_rank(), distributed.get_world_size())
    if torch.cuda.is_available():
        torch.cuda.set_device(processes.rank)  # one node: the rank is the number of the GPU
    return processes


def leave_processes() -> None:
    """Leave the others, when all is done."""
    distributed.destroy_process_group()
