"""How deep a network can be trained: the thin residual network in one process, or as a pipeline."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crowdrun.data.task import TrainingOptions
from crowdrun.training.bench.launch import Measurement, measure
from crowdrun.training.models.table import task_named
from crowdrun.training.strategies.settings import strategy_spec

BATCH_SIZE = 8


def depth(layers: int, *, stages: int, steps: int, progress: Callable[[str, float], None]) -> dict[str, Any]:
    """`layers`, `stages`, `step_s`, `peak_mem_mb` of each rank and `losses`, one for each step.

    Blocks lie in segments of which only the input is kept (`models/thin_resnet.py`), in one process and in a stage.
    """
    task = task_named("thin-resnet", {"layers": layers, "checkpoint": True})
    one = Measurement(
        target=task.module,
        options=TrainingOptions(**{**task.training, "batch_size": BATCH_SIZE}, extra=task.options),
        strategy=strategy_spec({"name": "pipeline", "schedule": "1f1b", "micro_batches": min(stages, BATCH_SIZE)}),
        ranks=stages,
        # Convolutions this small are done before a second thread has woken.
        threads=1,
        steps=steps,
        warm_up=0,
        compare=False,
    )
    with tempfile.TemporaryDirectory(prefix="crowdrun-bench-") as place:
        measured = measure(one, Path(place) / "depth", lambda share: progress(f"{layers} layers", share))
    kept = ("step_s", "peak_mem_mb", "losses")
    return {"layers": layers, "stages": stages, **{name: measured[name] for name in kept}}
