"""The life of one rank: read what is to be trained, meet the others, train, evaluate, report.

torchrun starts it once a rank (`python -m crowdrun.training.worker ATTEMPT/task.json`). Without torchrun it is the only
rank, which is how `python task.py` runs a task alone.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.distributed.elastic.multiprocessing.errors import record
from torch.utils.data import Dataset

from crowdrun.data.durable import write_atomically
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.checkpoints.folder import FOLDER
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.checkpoints.random_numbers import seed
from crowdrun.training.checkpoints.stop import StoppedError, StopRequest
from crowdrun.training.heartbeat import Heartbeat
from crowdrun.training.out_of_memory import is_out_of_memory, tell
from crowdrun.training.rank_files import RESULT_FILE, STOP_FILE, STOPPED_FILE
from crowdrun.training.rank_report import RankReport, footprint, progress
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.stragglers import stragglers
from crowdrun.training.strategies.settings import StrategySpec, strategy_spec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer
from crowdrun.training.wire import sent_bytes

if TYPE_CHECKING:
    from crowdrun.training.checkpoints.keeper import Keeper


@record
def main(arguments: Sequence[str]) -> None:
    """One rank of an attempt."""
    file = Path(arguments[0])
    spec = json.loads(file.read_text())
    checkpoint = spec["checkpoint"]
    train(
        spec["target"],
        TrainingOptions(**spec["options"]),
        strategy_spec(spec["strategy"]),
        folder=file.parent,
        work_dir=Path(spec["work_dir"]),
        # Of the run, not of the attempt: the next one goes on from them.
        checkpoint=CheckpointOptions(**checkpoint) if checkpoint else None,
    )


def train(
    target: str,
    options: TrainingOptions,
    spec: StrategySpec,
    *,
    folder: Path | None,
    work_dir: Path,
    checkpoint: CheckpointOptions | None = None,
) -> dict[str, Any] | None:
    """Train a task and return what rank 0 reports; it is written into `folder` where there is one.

    None when the ranks were told to stop: what they had done is then saved.
    """
    task = load_task(target, work_dir=work_dir)
    rank = int(os.environ.get("RANK", "0"))
    with _heartbeat(folder, rank) as heart, meet() as ranks, _memory_told(folder, rank, options, ranks):
        # In a function of its own: the model that it wraps is gone before the ranks part (see `meet`).
        return _train(task, target, options, spec, ranks, folder, checkpoint, heart)


@contextmanager
def _heartbeat(folder: Path | None, rank: int) -> Iterator[Heartbeat | None]:
    """Alive as long as the rank, where somebody can look at it."""
    if folder is None:
        yield None
        return
    heart = Heartbeat(folder, rank)
    heart.start()
    yield heart
    heart.end()


@contextmanager
def _memory_told(folder: Path | None, rank: int, options: TrainingOptions, ranks: Ranks) -> Iterator[None]:
    """Before a rank dies for want of memory, the runner is told how many samples it took at once."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if folder and is_out_of_memory(error):
            tell(folder, rank, taken=options.micro_batch or -(-options.batch_size // ranks.world_size))
        raise


def _train(
    task: TrainingTask,
    target: str,
    options: TrainingOptions,
    spec: StrategySpec,
    ranks: Ranks,
    folder: Path | None,
    checkpoint: CheckpointOptions | None,
    heart: Heartbeat | None,
) -> dict[str, Any] | None:
    seed(options.seed, ranks.rank)
    train_set, test_set = task.data("train", options), task.data("test", options)
    source = getattr(train_set, "source", None)
    report = RankReport(ranks, folder)
    if source:
        report.source(source)
    if folder and checkpoint:
        about = {"target": target, "options": asdict(options), "strategy": spec.to_table()}
        trainer, keeper = _kept(task, options, ranks, spec, folder, checkpoint, about, train_set)
    else:
        trainer, keeper = Trainer(task, options, ranks, spec), None
    if heart:
        trainer.got_on = heart.stepped
        heart.progress = partial(progress, trainer, steps=-(-len(train_set) // options.batch_size))  # type: ignore[arg-type]
    sent_before, begun, own_before = sent_bytes(), time.perf_counter(), heart.own_s if heart else 0.0
    try:
        report.begin(trainer)
        _train_epochs(trainer, keeper, train_set, report)
    except StoppedError as stopped:
        trainer.strategy.close()
        report.stopped(trainer, str(stopped))
        return None
    trained_s, sent = time.perf_counter() - begun, sent_bytes() - sent_before
    own = {"own_s": round(heart.own_s - own_before, 1)} if heart else {}
    scores, parameters = trainer.evaluate(test_set)
    trainer.strategy.close()
    report.end(trainer, scores)
    told = {**footprint(ranks), "sent_mb": round(sent / 2**20, 3), **own, **trainer.strategy.report()}
    every = ranks.gather(told)
    result = {
        "target": target,
        "options": asdict(options),
        "data": source,
        "strategy": spec.to_table(),
        "parameters": parameters,
        "device": ranks.device.type,
        "history": trainer.position.history,
        "scores": scores,
        "ranks": every,
        "stragglers": stragglers([one["own_s"] for one in every], trained_s=trained_s) if heart else [],
    }
    if ranks.first and folder:
        write_atomically(folder / RESULT_FILE, json.dumps(result, indent=2).encode())
    return result


def _kept(
    task: TrainingTask,
    options: TrainingOptions,
    ranks: Ranks,
    spec: StrategySpec,
    folder: Path,
    checkpoint: CheckpointOptions,
    about: Mapping[str, Any],
    samples: Dataset[Any],
) -> tuple[Trainer, "Keeper"]:
    """The trainer where an earlier attempt left off, and what keeps its checkpoints."""
    # Here, since torch's distributed checkpoints take a second to import.
    from crowdrun.training.checkpoints.keeper import Keeper, find

    if ranks.first:
        (folder / STOPPED_FILE).unlink(missing_ok=True)
    stop = StopRequest(folder / STOP_FILE)
    stop.listen()
    checkpoints = folder.parent / FOLDER
    found = find(checkpoints, ranks, about)
    trainer = Trainer(task, options, ranks, spec, decided=found[1].decided if found else None)
    keeper = Keeper(trainer, checkpoint, checkpoints, training=about, stop=stop)
    if found:
        keeper.go_on_from(*found, samples)
    return trainer, keeper


def _train_epochs(trainer: Trainer, keeper: "Keeper | None", samples: Dataset[Any], report: RankReport) -> None:
    def after_step() -> None:
        report.step(trainer)
        if keeper:
            keeper.after_step()

    for epoch in range(trainer.position.epoch, trainer.setup.options.epochs):
        seen, loss = trainer.train_epoch(samples, epoch=epoch, after_step=after_step)
        report.epoch(trainer, samples=seen, loss=loss)
        if keeper:
            keeper.after_epoch()
    if keeper:
        keeper.finish()


def alone(target: str, options: TrainingOptions | None = None) -> None:
    """Train a task in this process and print its scores: for the end of a task file, under `__name__ == "__main__"`."""
    result = train(
        str(Path(target).absolute()), options or TrainingOptions(), StrategySpec(), folder=None, work_dir=Path.cwd()
    )
    print(json.dumps((result or {})["scores"]))


if __name__ == "__main__":
    main(sys.argv[1:])
