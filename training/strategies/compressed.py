"""Data parallelism with gradients that are made smaller before they are sent."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState
from torch.nn.parallel import DistributedDataParallel

from crowdrun.training.strategies.ddp import Ddp
from crowdrun.training.strategies.hooks.half import half_hook
from crowdrun.training.strategies.hooks.one_bit import OneBit, one_bit_hook
from crowdrun.training.strategies.hooks.power_sgd import power_sgd_hook
from crowdrun.training.strategies.hooks.top_k import TopK, top_k_hook

#: Method -> what its hook keeps.
_KEPT: Mapping[str, tuple[str, ...]] = {
    "one-bit": ("own", "part"),
    "top-k": ("left",),
    "powersgd": ("error_dict", "p_memory_dict", "q_memory_dict", "iter", "rng"),
}


class Compressed(Ddp):
    """The bytes that were really sent are in the run's record and in `crowdrun bench compare`."""

    synchronous = False
    #: What the hook keeps from step to step.
    kept: OneBit | TopK | PowerSGDState | None = None

    def own_state(self) -> dict[str, Any]:
        names = _KEPT.get(self.settings.method, ())
        return {**super().own_state(), "hook": {name: getattr(self.kept, name) for name in names}}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        super().load_own_state(state)
        for name, value in state["hook"].items():
            setattr(self.kept, name, value)

    def inexact(self, *, resized: bool) -> str | None:
        lost = "what was left out of the gradients so far, to be sent with later ones, is lost"
        return lost if resized and self.kept else None

    def wrapped(self) -> DistributedDataParallel:
        replica, world_size = super().wrapped(), self.setup.ranks.world_size
        match self.settings.method:
            case "one-bit":
                self.kept = OneBit(world_size)
                replica.register_comm_hook(self.kept, one_bit_hook)
            case "top-k":
                self.kept = TopK(world_size, self.settings.share)
                replica.register_comm_hook(self.kept, top_k_hook)
            case "powersgd":
                # Vogels, Karimireddy and Jaggi, "PowerSGD", 2019. The first steps are sent whole: DDP arranges its
                # buckets anew after the first.
                self.kept = PowerSGDState(None, matrix_approximation_rank=self.settings.rank, start_powerSGD_iter=2)
                replica.register_comm_hook(self.kept, power_sgd_hook)
            case "fp16" | "bf16":
                dtype = torch.float16 if self.settings.method == "fp16" else torch.bfloat16
                replica.register_comm_hook(dtype, half_hook)
        return replica
