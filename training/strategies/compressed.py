"""Data parallelism with gradients that are made smaller before they are sent."""

import torch
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState
from torch.nn.parallel import DistributedDataParallel

from crowdrun.training.strategies.ddp import Ddp
from crowdrun.training.strategies.hooks.half import half_hook
from crowdrun.training.strategies.hooks.one_bit import OneBit, one_bit_hook
from crowdrun.training.strategies.hooks.power_sgd import power_sgd_hook
from crowdrun.training.strategies.hooks.top_k import TopK, top_k_hook


class Compressed(Ddp):
    """The bytes that were really sent are in the run's record and in `crowdrun bench compare`."""

    synchronous = False

    def wrapped(self) -> DistributedDataParallel:
        replica, world_size = super().wrapped(), self.setup.ranks.world_size
        match self.settings.method:
            case "one-bit":
                replica.register_comm_hook(OneBit(world_size), one_bit_hook)
            case "top-k":
                replica.register_comm_hook(TopK(world_size, self.settings.share), top_k_hook)
            case "powersgd":
                # Vogels, Karimireddy and Jaggi, "PowerSGD", 2019. The first steps are sent whole: DDP arranges its
                # buckets anew after the first.
                state = PowerSGDState(None, matrix_approximation_rank=self.settings.rank, start_powerSGD_iter=2)
                replica.register_comm_hook(state, power_sgd_hook)
            case "fp16" | "bf16":
                dtype = torch.float16 if self.settings.method == "fp16" else torch.bfloat16
                replica.register_comm_hook(dtype, half_hook)
        return replica
