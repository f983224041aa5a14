"""Data parallelism whose gradients are added up inside the nodes first, where that is faster."""

import time
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from crowdrun.training.strategies.ddp import Ddp
from crowdrun.training.strategies.hooks.two_level import TwoLevel, two_level_hook
from crowdrun.training.strategies.mesh import group_size, two_levels

ROUTES = ("flat", "leader", "torus")
#: Measured sums a route, after one to warm up; the fastest counts.
TRIES = 3
#: Numbers in one sum: the size of DDP's buckets, 25 MiB.
MOST_NUMBERS = 25 * 2**20 // 4


class Hierarchical(Ddp):
    """The route is measured on a bucket of gradients when the training starts, unless it is named."""

    def wrapped(self) -> DistributedDataParallel:
        inside = group_size(self.settings.node_ranks, self.setup.ranks, "node_ranks")
        mesh = two_levels(self.setup.ranks, inside=inside)
        self.times_s: Mapping[str, float] = {}
        self.route = self.setup.decided.get("route", self.settings.route)
        if self.route == "auto":
            self.times_s = {route: self._time_s(TwoLevel(mesh, route)) for route in ROUTES}
            self.route = min(self.times_s, key=lambda route: self.times_s[route])
        replica = super().wrapped()
        replica.register_comm_hook(TwoLevel(mesh, self.route), two_level_hook)
        return replica

    def decisions(self) -> Mapping[str, Any]:
        return {"route": self.route}

    def _time_s(self, levels: TwoLevel) -> float:
        """Of one sum, on the slowest rank: the same figure on all, so that all choose the same route."""
        numbers = min(MOST_NUMBERS, sum(p.numel() for p in self.model.parameters() if p.requires_grad))
        values, times = torch.zeros(numbers, device=self.setup.ranks.device), []
        for _ in range(TRIES + 1):
            dist.barrier()
            begun = time.perf_counter()
            levels.sum(values)
            if values.is_cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begun)
        slowest = torch.tensor(min(times[1:]), dtype=torch.float64, device=self.setup.ranks.device)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        return slowest.item()

    def report(self) -> Mapping[str, float | str]:
        return {"route": self.route, **{f"{route}_s": round(s, 6) for route, s in self.times_s.items()}}
