"""What the runner adds to training: its epochs beside those of a loop by hand, in turns, in one process.

Both take the same network, batches, optimiser and loss; the loop by hand has what a person would write: a data loader,
zero_grad, backward, step and the loss as a number. Times are of the process's own processor, by the ratio of medians.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader

from crowdrun.data.task import TrainingOptions
from crowdrun.training.models.table import task_named
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.settings import strategy_spec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer

#: Model -> its [options]: a step of a few milliseconds, and one of a hundred.
MODELS = {"lenet": {"samples": 1280}, "cifar-net": {"samples": 1280}}
ROUNDS, GOAL = 7, 0.02


def main() -> str:
    """The table, as markdown."""
    torch.set_num_threads(1)
    lines = [
        "## The runner beside a loop by hand",
        "",
        f"One process, one thread, {ROUNDS} epochs of each in turns; load {os.getloadavg()[0]:.1f}; goal {GOAL:.0%}.",
        "",
        "| model | batch | step by hand, ms | step of the runner, ms | more |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(name, options) for name, options in MODELS.items())])


def _row(name: str, extra: dict[str, int]) -> str:
    built_in = task_named(name, extra)
    options = TrainingOptions(**built_in.training, extra=built_in.options)
    task = load_task(built_in.module, work_dir=Path("/"))
    samples = task.data("train", options)
    steps = -(-len(samples) // options.batch_size)  # type: ignore[arg-type]
    trainer = Trainer(task, options, Ranks(rank=0, world_size=1, device=torch.device("cpu")), strategy_spec("single"))
    torch.manual_seed(options.seed)
    model = task.model(options)
    optimizer = task.optimizer(model, options)
    loader = DataLoader(samples, batch_size=options.batch_size, shuffle=True)

    def by_hand() -> float:
        model.train()
        total = 0.0
        for batch in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = task.loss(model, batch)
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item()
        return total

    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        one = _timed(by_hand)
        other = _timed(lambda epoch=number: trainer.train_epoch(samples, epoch=epoch))
        if number:  # the first warms up
            theirs.append(one / steps * 1e3)
            ours.append(other / steps * 1e3)
    more = median(own / hand for own, hand in zip(ours, theirs, strict=True)) - 1
    return f"| {name} | {options.batch_size} | {median(theirs):.2f} | {median(ours):.2f} | {more:+.1%} |"


def _timed(what: Callable[[], object]) -> float:
    begun = time.process_time()
    what()
    return time.process_time() - begun
