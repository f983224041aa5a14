"""The ranks of a job: who this one is, what it computes on, and what all of them know together."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This rank among all. With one rank nothing is communicated."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The elementwise sum over all ranks, on all of them."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    @staticmethod
    def peak_rss_mb() -> float:
        """The high-water mark of this process's resident memory, MB (`man 2 getrusage`: kilobytes on Linux)."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def meet() -> Iterator[Ranks]:
    """Join the other ranks that torchrun started, by NCCL with a GPU for each, else by gloo; alone without torchrun."""
    world_size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local_rank, on_node = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # NCCL refuses two ranks on one card.
    cuda = torch.cuda.is_available() and on_node <= torch.cuda.device_count()
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    ranks = Ranks(rank=rank, world_size=world_size, device=device)
    if world_size == 1:
        yield ranks
        return
    dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
    try:
        yield ranks
        # Nobody leaves before all are done: a rank that loses its peers in the middle of leaving dies of SIGABRT
        # ("terminate called without an active exception", two runs of ten on a busy machine).
        dist.barrier()
    finally:
        # The wrapped model holds the process group, and must not outlive it.
        gc.collect()
        dist.destroy_process_group()
