"""A rank of FSDP with real tensors in one process: collectives on the fake group move nothing, but take and give back.

Values are wrong, as no other rank sends any; memory is not.
"""

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.profiler import ProfilerActivity, profile

from crowdrun.data.recompute import repeated_blocks
from crowdrun.predictor.gpu_memory.fake_group import fake_group
from tests.predictor.gpu_memory.real_run import largest_sum
from tests.predictor.gpu_memory.zoo import Case


def sharded_peak_bytes(case: Case, *, world_size: int, micro_batches: int) -> int:
    """This rank's shards and buffers, and the largest sum of what two steps allocate on top of them."""
    torch.manual_seed(0)
    with fake_group(rank=0, world_size=world_size, strategy="fsdp"):
        mesh = init_device_mesh("cpu", (world_size,))
        model = case.model()
        for block in repeated_blocks(model):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        local = [getattr(one, "_local_tensor", one) for one in (*model.parameters(), *model.buffers())]
        held = {one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in local}
        optimizer = case.optimizer(model)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            for _ in range(2):
                batches = [case.batch() for _ in range(micro_batches)]
                optimizer.zero_grad(set_to_none=True)
                for batch in batches:
                    loss = case.loss(model, batch)
                    loss.backward()
                optimizer.step()
    return sum(held.values()) + largest_sum(profiler)
