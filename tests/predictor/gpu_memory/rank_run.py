"""One real rank on the CPU with gloo; prints the peak bytes of its tensors under each strategy.

python -m tests.predictor.gpu_memory.rank_run RANK WORLD_SIZE STORE_FILE STRATEGY...
"""

import json
import sys

import torch
import torch.distributed as dist
from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile

from tests.predictor.gpu_memory.real_run import largest_sum
from tests.predictor.gpu_memory.zoo import WIDE, adamw

RUNS = 2


def main(rank: int, world_size: int, file: str, *strategies: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world_size)
    # What a thread of gloo frees late, the profiler sees late or not at all: the least of a few runs is the nearest.
    print(json.dumps([min(peak_bytes(strategy) for _ in range(RUNS)) for strategy in strategies]))
    dist.barrier()
    dist.destroy_process_group()


def peak_bytes(strategy: str) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        replica, optimizer = wrapped(strategy)
        for _ in range(2):
            one = WIDE.batch()
            optimizer.zero_grad(set_to_none=True)
            WIDE.loss(replica, one).backward()
            optimizer.step()
    return largest_sum(profiler)


def wrapped(strategy: str) -> tuple[nn.Module, optim.Optimizer]:
    torch.manual_seed(0)
    network = WIDE.model()
    replica = DistributedDataParallel(network, gradient_as_bucket_view=strategy == "ddp, bucket views")
    if strategy == "zero1":
        from torch.distributed.optim import ZeroRedundancyOptimizer  # warns of torch.jit when it is imported

        return replica, ZeroRedundancyOptimizer(network.parameters(), optimizer_class=optim.AdamW)
    return replica, adamw(network)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
