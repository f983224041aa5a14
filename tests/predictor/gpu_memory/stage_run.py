"""One real rank of a pipeline on the CPU with gloo, by the runner's own strategies; prints the peak bytes of each case.

python -m tests.predictor.gpu_memory.stage_run RANK WORLD_SIZE STORE_FILE CASES

CASES is JSON: a list of [task, layout, first layer of each stage].
"""

import json
import sys
from statistics import median

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from crowdrun.data.pipeline.cut import units_of
from crowdrun.data.task import TrainingOptions
from crowdrun.training.batches import Share
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.registry import make_strategy
from crowdrun.training.strategies.settings import strategy_spec
from tests.predictor.gpu_memory.real_run import largest_sum
from tests.predictor.gpu_memory.stage_cases import SAMPLES, TASKS, settings_of

RUNS = 3


def main(rank: int, world_size: int, file: str, cases: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world_size)
    ranks = Ranks(rank=rank, world_size=world_size, device=torch.device("cpu"))
    # What a thread of gloo takes or frees, the profiler may count among what the rank does: seen once in forty runs.
    print(json.dumps([median(peak_bytes(*case, ranks) for _ in range(RUNS)) for case in json.loads(cases)]))
    dist.barrier()
    dist.destroy_process_group()


def peak_bytes(name: str, layout: str, firsts: list[str], ranks: Ranks) -> int:
    task, how = TASKS[name], settings_of(layout, ranks.world_size)
    starts = [unit[0][0] for unit in units_of(task.build(), 1)]
    cuts = [*(starts.index(first) for first in firsts), len(starts)]
    table = {"name": how.strategy, "schedule": how.schedule, "micro_batches": how.micro_batches}
    if how.pipeline_ranks:
        table["pipeline_ranks"] = how.pipeline_ranks
    setup = Setup(task=task, options=TrainingOptions(), ranks=ranks, decided={"cuts": cuts})  # type: ignore[arg-type]
    strategy = make_strategy(strategy_spec(table), setup)
    base = sum(tensor.untyped_storage().nbytes() for tensor in strategy.model.state_dict().values())  # type: ignore[attr-defined]
    samples = SAMPLES * how.micro_batches
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for _ in range(2):
            share = Share(batch=task.batch(samples), samples=samples, together=samples * how.world_size // how.length)
            strategy.step(share)
    return base + largest_sum(profiler)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
