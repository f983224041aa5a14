"""One rank of a training to a target score; torchrun starts it (`launch.py`)."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from crowdrun.data.durable import write_atomically
from crowdrun.data.task import TrainingOptions
from crowdrun.training.bench.rank import MEASURED_FILE, tell
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.strategies.settings import strategy_spec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer


def main(arguments: Sequence[str]) -> None:
    """Read the order in a file, train, and write the curve beside it."""
    order = json.loads(Path(arguments[0]).read_text())
    with meet() as ranks:
        _train(order, Path(arguments[0]).parent, ranks)


def _train(order: dict[str, Any], folder: Path, ranks: Ranks) -> None:
    options = TrainingOptions(**order["options"])
    task = load_task(order["target"], work_dir=Path.cwd())
    trainer = Trainer(task, options, ranks, strategy_spec(order["strategy"]))
    train_set, test_set = task.data("train", options), task.data("test", options)
    train_s, curve, name = 0.0, [], ""
    for epoch in range(options.epochs):
        if ranks.world_size > 1:
            dist.barrier()
        begun = time.perf_counter()
        _, loss = trainer.train_epoch(train_set, epoch=epoch)
        train_s += time.perf_counter() - begun
        scores, _ = trainer.evaluate(test_set)
        name, score = next(iter(scores.items()))
        curve.append({"epoch": epoch + 1, "train_s": train_s, "loss": loss, "score": score})
        tell(folder, ranks, epoch + 1, options.epochs)
        if score >= order["target_score"]:
            break
    rate = trainer.strategy.optimizer.param_groups[0]["lr"]
    trainer.strategy.close()
    if ranks.first:
        told = {"score": name, "learning_rate": rate, "curve": curve}
        write_atomically(folder / MEASURED_FILE, json.dumps(told).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
