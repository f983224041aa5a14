"""Gradients added up inside each node first, so that little is left to cross from node to node.

leader: the ranks of a node add up at one of them, the leaders among themselves, and each tells its node (the levels of
Goyal et al., 2017). torus: each rank of a node adds up one part, meets those with the same part on the other nodes, and
tells its node (Mikami et al., "2D-torus all-reduce", 2018; IBM's DDL, Cho et al., 2017): all links work at once.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.futures import Future

from crowdrun.training.strategies.hooks.done import done


class TwoLevel:
    """The sum over a mesh of nodes (`across`) by their ranks (`inside`), along one route."""

    def __init__(self, mesh: DeviceMesh, route: str) -> None:
        self.route = route
        self._inside, self._across = mesh.get_group("inside"), mesh.get_group("across")
        self._members = dist.get_process_group_ranks(self._inside)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of (n,) values over all ranks, in place."""
        match self.route:
            case "leader":
                return self._by_leader(values)
            case "torus":
                return self._by_parts(values)
            case _:
                dist.all_reduce(values)
                return values

    def _by_leader(self, values: Tensor) -> Tensor:
        leader = self._members[0]
        dist.reduce(values, leader, group=self._inside)
        if dist.get_rank() == leader:
            dist.all_reduce(values, group=self._across)
        dist.broadcast(values, leader, group=self._inside)
        return values

    def _by_parts(self, values: Tensor) -> Tensor:
        size = len(self._members)
        padded = torch.nn.functional.pad(values, (0, -len(values) % size))
        received = torch.empty_like(padded)
        dist.all_to_all_single(received, padded, group=self._inside)
        part = received.view(size, -1).sum(0)
        dist.all_reduce(part, group=self._across)
        parts = [torch.empty_like(part) for _ in range(size)]
        dist.all_gather(parts, part, group=self._inside)
        return values.copy_(torch.cat(parts)[: len(values)])


def two_level_hook(state: TwoLevel, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
    """For `register_comm_hook`: the mean over all ranks."""
    return done(state.sum(bucket.buffer()).div_(dist.get_world_size()))
