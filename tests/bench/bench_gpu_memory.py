"""How long a forecast of GPU memory takes after torch is there, and how much memory the process holds at most.

Each in a process of its own, which computes on one thread. The seconds that count are those of its processor, so that
other work on the machine counts only by what it takes from the caches; the clock's are beside them. The time of
importing torch (and torch._dynamo, which its optimisers import) is apart.
"""

import json
import os
import platform
import subprocess
import sys

#: Name -> (built-in task, its options, batch, settings), and the goal in seconds.
CASES = {
    "ResNet-50, 32 images": (("resnet-50", {}, 32, {}), 2),
    "GPT-2 small, 8 x 1,024": (("gpt2", {}, 8, {}), 2),
    "thin residual network, 16,000 convolutions": (("thin-resnet", {"layers": 16000}, 8, {}), 30),
    "the same, with checkpoints": (("thin-resnet", {"layers": 16000, "checkpoint": True}, 8, {}), 30),
    "GPT-2 small, one of 64 ranks of fsdp": (("gpt2", {}, 8, {"strategy": "fsdp", "world_size": 64}), 10),
}
GOAL_MIB = 400
PROGRAM = """
import json, resource, sys, time
begun = time.perf_counter()
import torch._dynamo
from pathlib import Path
from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.task import TrainingOptions
from crowdrun.predictor.gpu_memory.forecast import forecast_program
from crowdrun.predictor.gpu_memory.task import task_program
from crowdrun.training.models.table import task_named
from crowdrun.training.task_loader import load_task
name, options, batch, settings = json.loads(sys.argv[1])
if settings.get("strategy") == "fsdp":
    import crowdrun.predictor.gpu_memory.fully_sharded
built_in = task_named(name, options)
task = load_task(built_in.module, work_dir=Path.cwd())
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
ready, own, base = time.perf_counter(), time.process_time(), peak()
program = task_program(task, TrainingOptions(batch_size=batch, extra=built_in.options), micro_batch=batch)
said = forecast_program(program, ForecastSettings(**settings))
took = [time.process_time() - own, time.perf_counter() - ready]
print(json.dumps([ready - begun, *took, base, peak(), said.allocated_mb]))
"""


def main() -> str:
    """The table, as markdown."""
    lines = [
        "## A forecast of GPU memory",
        "",
        f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start.",
        "",
        "| | import, s | s of the processor | by the clock | goal | MiB after import | at most | it says, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (case, goal_s) in CASES.items():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(case)],
            capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        imported, own, took, base, most, said = json.loads(done.stdout.splitlines()[-1])
        lines.append(
            f"| {name} | {imported:.1f} | {own:.2f} | {took:.2f} | {goal_s} | {base:.0f} | {most:.0f} | {said:.0f} |"
        )
    return "\n".join([*lines, "", f"Goal for the memory: {GOAL_MIB} MiB."])
