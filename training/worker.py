"""The life of one rank: read what is to be trained, meet the others, train, evaluate, report.

torchrun starts it once a rank (`python -m crowdrun.training.worker ATTEMPT/task.json`). Without torchrun it is the only
rank, which is how `python task.py` runs a task alone.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing.errors import record

from crowdrun.data.durable import write_atomically
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import evaluation_shares, train_shares
from crowdrun.training.rank_files import DATA_FILE, PROGRESS_FILE, RESULT_FILE
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer


@record
def main(arguments: Sequence[str]) -> None:
    """One rank of an attempt."""
    file = Path(arguments[0])
    spec = json.loads(file.read_text())
    train(spec["target"], TrainingOptions(**spec["options"]), folder=file.parent, work_dir=Path(spec["work_dir"]))


def train(target: str, options: TrainingOptions, *, folder: Path | None, work_dir: Path) -> dict[str, Any]:
    """Train a task and return what rank 0 reports; it is written into `folder` where there is one."""
    task = load_task(target, work_dir=work_dir)
    with meet() as ranks:
        # In a function of its own: the model that it wraps is gone before the ranks part (see `meet`).
        return _train(task, target, options, ranks, folder)


def _train(
    task: TrainingTask, target: str, options: TrainingOptions, ranks: Ranks, folder: Path | None
) -> dict[str, Any]:
    torch.manual_seed(options.seed)
    trainer = Trainer(task, options, ranks)
    train_set, test_set = task.data("train", options), task.data("test", options)
    source = getattr(train_set, "source", None)
    if source:
        _tell_source(ranks, folder, source)
    history = []
    for epoch in range(options.epochs):
        begun = time.perf_counter()
        samples, loss = trainer.train_epoch(train_shares(train_set, options, ranks, epoch=epoch))
        rate = samples / (time.perf_counter() - begun)
        history.append({"epoch": epoch + 1, "loss": loss, "samples_per_s": round(rate, 1)})
        _tell(ranks, folder, {**history[-1], "epochs": options.epochs})
    scores = trainer.evaluate(evaluation_shares(test_set, options, ranks))
    result = {
        "target": target,
        "options": asdict(options),
        "data": source,
        "parameters": trainer.parameters,
        "device": ranks.device.type,
        "history": history,
        "scores": scores,
        "ranks": ranks.gather(_footprint(ranks)),
    }
    if ranks.first and folder:
        write_atomically(folder / RESULT_FILE, json.dumps(result, indent=2).encode())
    return result


def alone(target: str, options: TrainingOptions | None = None) -> None:
    """Train a task in this process and print its scores: for the end of a task file, under `__name__ == "__main__"`."""
    result = train(str(Path(target).absolute()), options or TrainingOptions(), folder=None, work_dir=Path.cwd())
    print(json.dumps(result["scores"]))


def _tell_source(ranks: Ranks, folder: Path | None, source: str) -> None:
    if not ranks.first:
        return
    print(f"data: {source}", flush=True)
    if folder:
        write_atomically(folder / DATA_FILE, source.encode())


def _tell(ranks: Ranks, folder: Path | None, line: dict[str, Any]) -> None:
    if not ranks.first:
        return
    print(" ".join(f"{name}={value:g}" for name, value in line.items()), flush=True)
    if folder:
        with (folder / PROGRESS_FILE).open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def _footprint(ranks: Ranks) -> dict[str, float | None]:
    """High-water marks of this rank, MB."""
    cuda = ranks.device.type == "cuda"
    return {
        "peak_mem_mb": round(ranks.peak_rss_mb(), 1),
        "peak_gpu_mem_mb": round(torch.cuda.max_memory_reserved() / 2**20, 1) if cuda else None,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
