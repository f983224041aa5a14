"""The life of one rank: read what is to be trained, meet the others, train, evaluate, report.

torchrun starts it once a rank (`python -m crowdrun.training.worker ATTEMPT/task.json`). Without torchrun it is the only
rank, which is how `python task.py` runs a task alone.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
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
from crowdrun.training.rank_files import DATA_FILE, PROGRESS_FILE, RANK_LOG, RESULT_FILE, STOP_FILE, STOPPED_FILE
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.scalars import Scalars
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
    if source:
        _tell_source(ranks, folder, source)
    if folder and checkpoint:
        about = {"target": target, "options": asdict(options), "strategy": spec.to_table()}
        trainer, keeper = _kept(task, options, ranks, spec, folder, checkpoint, about, train_set)
    else:
        trainer, keeper = Trainer(task, options, ranks, spec), None
    if heart:
        trainer.got_on = heart.stepped
        heart.progress = partial(_progress, trainer, steps=-(-len(train_set) // options.batch_size))  # type: ignore[arg-type]
    scalars = Scalars(folder.parent if folder and ranks.first else None)
    sent_before, begun, own_before = sent_bytes(), time.perf_counter(), heart.own_s if heart else 0.0
    try:
        _log(folder, ranks, event="begin", step=trainer.position.step, device=str(ranks.device))
        _train_epochs(trainer, keeper, train_set, folder, scalars)
    except StoppedError as stopped:
        _log(folder, ranks, event="stopped", step=trainer.position.step, reason=str(stopped))
        scalars.close()
        trainer.strategy.close()
        _tell_stopped(ranks, folder, str(stopped), trainer.position.step)
        return None
    trained_s, sent = time.perf_counter() - begun, sent_bytes() - sent_before
    own = {"own_s": round(heart.own_s - own_before, 1)} if heart else {}
    scores, parameters = trainer.evaluate(test_set)
    scalars.add(trainer.position.step, {f"test/{name}": value for name, value in scores.items()})
    scalars.close()
    trainer.strategy.close()
    _log(folder, ranks, event="end", step=trainer.position.step, held_mb=_held_mb(ranks))
    told = {**_footprint(ranks), "sent_mb": round(sent / 2**20, 3), **own, **trainer.strategy.report()}
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


def _train_epochs(
    trainer: Trainer, keeper: "Keeper | None", samples: Dataset[Any], folder: Path | None, scalars: Scalars
) -> None:
    epochs = trainer.setup.options.epochs

    def after_step() -> None:
        position, rate = trainer.position, trainer.strategy.optimizer.param_groups[0]["lr"]
        if position.samples:
            mean = position.loss_sum / position.samples
            scalars.now_and_then(position.step, {"train/mean_loss_of_the_epoch": mean, "train/learning_rate": rate})
        if keeper:
            keeper.after_step()

    for epoch in range(trainer.position.epoch, epochs):
        seen, loss = trainer.train_epoch(samples, epoch=epoch, after_step=after_step)
        own, ranks = trainer.position, trainer.setup.ranks
        _log(
            folder, ranks, event="epoch", epoch=epoch + 1, step=own.step, samples=own.samples,
            loss=own.loss_sum / own.samples if own.samples else None, held_mb=_held_mb(ranks),
            sent_mb=round(sent_bytes() / 2**20, 3),
        )  # fmt: skip
        line = trainer.end_epoch(samples=seen, loss=loss)
        figures = {"loss": loss, "samples_per_s": line["samples_per_s"], "held_mb": _held_mb(trainer.setup.ranks)}
        scalars.add(trainer.position.step, {f"epoch/{name}": value for name, value in figures.items()})
        _tell(trainer.setup.ranks, folder, {**line, "epochs": epochs})
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


def _progress(trainer: Trainer, *, steps: int) -> dict[str, float]:
    """How far this rank is, and what it holds, for who looks on."""
    position, options, ranks = trainer.position, trainer.setup.options, trainer.setup.ranks
    told = {
        "epoch": position.epoch,
        "epochs": options.epochs,
        "step_in_epoch": position.step_in_epoch,
        "steps_in_epoch": steps,
        "batch_size": options.batch_size,
        "held_mb": _held_mb(ranks),
    }
    return told | ({"loss": position.loss_sum / position.samples} if position.samples else {})


def _held_mb(ranks: Ranks) -> float:
    """High-water mark of what the rank's forecast speaks of, MB: its GPU's memory, or its host memory."""
    if ranks.device.type == "cuda":
        return round(torch.cuda.max_memory_reserved() / 2**20, 1)
    return round(ranks.peak_rss_mb(), 1)


def _tell_source(ranks: Ranks, folder: Path | None, source: str) -> None:
    if not ranks.first:
        return
    print(f"data: {source}", flush=True)
    if folder:
        write_atomically(folder / DATA_FILE, source.encode())


def _tell_stopped(ranks: Ranks, folder: Path | None, reason: str, step: int) -> None:
    if ranks.first and folder:
        print(f"told to stop ({reason}): saved at step {step}", flush=True)
        write_atomically(folder / STOPPED_FILE, json.dumps({"reason": reason, "step": step}).encode())


def _tell(ranks: Ranks, folder: Path | None, line: dict[str, Any]) -> None:
    if not ranks.first:
        return
    print(" ".join(f"{name}={value:g}" for name, value in line.items()), flush=True)
    if folder:
        with (folder / PROGRESS_FILE).open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def _log(folder: Path | None, ranks: Ranks, **line: Any) -> None:
    """A line in this rank's own log; a full disk costs the line, not the training."""
    if folder:
        told = {"time": round(time.time(), 3), "rank": ranks.rank, **line}
        with suppress(OSError), (folder / RANK_LOG.format(rank=ranks.rank)).open("a") as stream:
            stream.write(json.dumps(told) + "\n")


def _footprint(ranks: Ranks) -> dict[str, Any]:
    """High-water marks of this rank, MB."""
    cuda = ranks.device.type == "cuda"
    return {
        "peak_mem_mb": round(ranks.peak_rss_mb(), 1),
        "peak_gpu_mem_mb": round(torch.cuda.max_memory_reserved() / 2**20, 1) if cuda else None,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
