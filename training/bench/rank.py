"""One rank of a measurement: it trains so many steps and tells what each took, sent and held.

torchrun starts it (`launch.py`). Each measurement has processes of its own, since memory is a high-water mark.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist

from crowdrun.data.durable import write_atomically
from crowdrun.data.task import TrainingOptions
from crowdrun.training.batches import Share
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.strategies.base import Setup, Strategy
from crowdrun.training.strategies.registry import make_strategy
from crowdrun.training.strategies.settings import strategy_spec
from crowdrun.training.task_loader import load_task
from crowdrun.training.wire import sent_bytes

WEIGHTS_FILE, MEASURED_FILE = "single.pt", "measured.json"


def main(arguments: Sequence[str]) -> None:
    """Read the order in a file, measure, and write what was measured beside it."""
    order = json.loads(Path(arguments[0]).read_text())
    with meet() as ranks:
        _measure(order, Path(arguments[0]).parent, ranks)


def _measure(order: dict[str, Any], folder: Path, ranks: Ranks) -> None:
    options = TrainingOptions(**order["options"])
    task = load_task(order["target"], work_dir=Path.cwd())
    strategy = make_strategy(strategy_spec(order["strategy"]), Setup(task=task, options=options, ranks=ranks))
    steps, warm = order["steps"], order["warm_up"]
    shares = islice(_endless(strategy, task.data("train", options)), steps + warm)
    times, losses, before = [], [], sent_bytes()
    for number, share in enumerate(shares):
        if number == warm:
            before = sent_bytes()
        begun = time.perf_counter()
        losses.append((share.samples, strategy.step(share)))
        times.append(time.perf_counter() - begun)
        tell(folder, ranks, number + 1, steps + warm)
    if ranks.world_size > 1:
        dist.barrier()
    sent = sent_bytes() - before
    held = ranks.peak_rss_mb()  # before whole weights are put together, which no step needs
    strategy.end_epoch()
    difference = _difference(strategy, folder, ranks) if order["compare"] else None
    strategy.close()
    told = {"step_s": median(times[warm:]), "sent": sent / steps, "peak_mem_mb": round(held, 1)}
    every = ranks.gather({**told, "losses": losses if strategy.counts else [], "report": dict(strategy.report())})
    if ranks.first:
        _write(folder, every, difference)


def _endless(strategy: Strategy, samples: Any) -> Iterator[Share]:
    for epoch in count():
        if epoch:
            strategy.end_epoch()
        yield from strategy.shares(samples, epoch=epoch)


def _difference(strategy: Strategy, folder: Path, ranks: Ranks) -> float:
    """The largest difference of a weight from those of the single process, which is measured first."""
    weights = {name: value.detach().cpu() for name, value in strategy.weights().items()}
    file = folder.parent / WEIGHTS_FILE
    if ranks.world_size == 1:
        torch.save(weights, file)
        return 0.0
    single = torch.load(file)
    return max(float((weights[name] - value).abs().max()) for name, value in single.items())


def tell(folder: Path, ranks: Ranks, done: int, of: int) -> None:
    """How far the measurement is, for who waits for it."""
    if ranks.first:
        write_atomically(folder / "progress.json", json.dumps({"done": done, "of": of}).encode())


def _write(folder: Path, every: list[dict[str, Any]], difference: float | None) -> None:
    measured = {
        "step_s": max(rank["step_s"] for rank in every),
        "bytes_per_step": round(sum(rank["sent"] for rank in every) / len(every)),
        "peak_mem_mb": [rank["peak_mem_mb"] for rank in every],
        "max_abs_diff": difference,
        "losses": [_mean(step) for step in zip(*(rank["losses"] for rank in every if rank["losses"]), strict=True)],
        "reports": [rank["report"] for rank in every],
    }
    write_atomically(folder / MEASURED_FILE, json.dumps(measured).encode())


def _mean(step: Sequence[tuple[int, float]]) -> float:
    return sum(samples * loss for samples, loss in step) / max(1, sum(samples for samples, _ in step))


if __name__ == "__main__":
    main(sys.argv[1:])
