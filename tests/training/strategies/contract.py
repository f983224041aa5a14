"""What the contract suite trains: each strategy with its settings, all in one launch, since starting ranks is slow.

torchrun --nproc-per-node=2 contract.py FOLDER FOLDER-OF-A-LAUNCH-WITH-MORE-RANKS
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.keeper import Keeper, find
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.checkpoints.stop import StopRequest
from crowdrun.training.ranks import Ranks, meet
from crowdrun.training.strategies.settings import strategy_spec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer
from crowdrun.training.wire import sent_bytes

TASK = str(Path(__file__).with_name("contract_task.py"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training."""

    strategy: dict[str, Any]
    #: With so many ranks.
    ranks: tuple[int, ...] = (2,)
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 3
    #: The last rank's loss takes so long, s.
    slow_s: float = 0.0

    def training_options(self) -> TrainingOptions:
        plain = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.05, "precision": "fp64"}
        return TrainingOptions(**{**plain, **self.options})


#: As many numbers in a gradient as to make what surrounds them on the wire count little; 32 bits each.
WIDE = {"extra": {"width": 512, "layers": 3}, "precision": "fp32", "learning_rate": 0.01}
ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3}
CASES = {
    "ddp": Case(strategy={"name": "ddp"}, ranks=(2, 4)),
    "ddp-micro": Case(strategy={"name": "ddp"}, options={"micro_batch": 1}, ranks=(2, 4)),
    "fsdp-micro": Case(strategy={"name": "fsdp"}, options={"micro_batch": 1}),
    "tensor-micro": Case(strategy={"name": "tensor"}, options={"micro_batch": 3}),
    "server-micro": Case(strategy={"name": "server"}, options={"micro_batch": 3}),
    "gpipe-micro": Case(strategy={"name": "pipeline", "schedule": "gpipe"}, options={"micro_batch": 1}),
    "ddp-wide": Case(strategy={"name": "ddp"}, options=WIDE, ranks=(2, 4)),
    "ddp-non-overlapping": Case(strategy={"name": "ddp"}, options={"division": "non-overlapping"}, ranks=(2, 4)),
    "fsdp": Case(strategy={"name": "fsdp"}, ranks=(2, 4)),
    "fsdp-adamw": Case(strategy={"name": "fsdp"}, options=ADAMW),
    "hsdp": Case(strategy={"name": "hsdp"}, ranks=(4,)),
    "zero1": Case(strategy={"name": "zero1"}, ranks=(2, 4)),
    "zero1-adamw": Case(strategy={"name": "zero1"}, options=ADAMW),
    "tensor": Case(strategy={"name": "tensor"}, ranks=(2, 4)),
    "tensor-adamw": Case(strategy={"name": "tensor"}, options=ADAMW),
    "one-bit": Case(strategy={"name": "compressed"}, options=WIDE, ranks=(2, 4), epochs=12),
    "fp16": Case(strategy={"name": "compressed", "method": "fp16"}, options=WIDE),
    "bf16": Case(strategy={"name": "compressed", "method": "bf16"}, options=WIDE),
    "powersgd": Case(strategy={"name": "compressed", "method": "powersgd"}, options=WIDE),
    "top-k": Case(strategy={"name": "compressed", "method": "top-k"}, options=WIDE, epochs=12),
    "top-all": Case(strategy={"name": "compressed", "method": "top-k", "share": 1.0}),
    "hierarchical": Case(strategy={"name": "hierarchical"}, ranks=(4,)),
    "leader": Case(strategy={"name": "hierarchical", "route": "leader"}, ranks=(2, 4)),
    "torus": Case(strategy={"name": "hierarchical", "route": "torus"}, ranks=(2, 4)),
    "local-sgd": Case(strategy={"name": "local-sgd", "period": 2}, ranks=(2, 4)),
    "federated": Case(strategy={"name": "local-sgd", "private_shares": [0.7, 0.3]}),
    "server": Case(strategy={"name": "server"}, ranks=(2, 4)),
    "server-adamw": Case(strategy={"name": "server"}, options=ADAMW),
    "asynchronous": Case(
        strategy={"name": "server", "mode": "asynchronous"}, options={"learning_rate": 0.02}, slow_s=0.02, epochs=8
    ),
    "stale-synchronous": Case(
        strategy={"name": "server", "mode": "stale-synchronous", "bound": 2},
        options={"batch_size": 4, "learning_rate": 0.02}, ranks=(2, 4), slow_s=0.02, epochs=8,
    ),
    "gpipe": Case(strategy={"name": "pipeline", "schedule": "gpipe"}),
    "1f1b": Case(strategy={"name": "pipeline", "schedule": "1f1b"}, ranks=(2, 4)),
    "interleaved": Case(strategy={"name": "pipeline", "schedule": "interleaved"}, ranks=(2, 4)),
    "zero-bubble": Case(strategy={"name": "pipeline", "schedule": "zero-bubble"}, ranks=(2, 4)),
    "hybrid": Case(strategy={"name": "hybrid", "pipeline_ranks": 2}, ranks=(4,)),
    "hybrid-tensor": Case(strategy={"name": "hybrid", "inside": "tensor", "tensor_ranks": 2}, ranks=(2, 4)),
}  # fmt: skip


def train(case: Case, ranks: Ranks) -> dict[str, Any]:
    """What this rank saw of a case."""
    options = case.training_options()
    task = load_task(TASK, work_dir=Path("/"))
    os.environ["CONTRACT_SLEEP_S"] = str(case.slow_s if ranks.rank == ranks.world_size - 1 else 0.0)
    trainer = Trainer(task, options, ranks, strategy_spec(case.strategy))
    samples, losses, sent = task.data("train", options), [], []
    for epoch in range(case.epochs):
        before = sent_bytes()
        losses.append(trainer.train_epoch(samples, epoch=epoch))
        sent.append(sent_bytes() - before)
        if epoch + 1 == COMPARED:
            early = {name: value.clone() for name, value in trainer.strategy.weights().items()}
    scores, parameters = trainer.evaluate(task.data("test", options))
    weights = {name: value.clone() for name, value in trainer.strategy.weights().items()}
    trainer.strategy.close()
    report = dict(trainer.strategy.report())
    return {
        "losses": losses, "weights": weights, "scores": scores, "parameters": parameters, "report": report,
        "sent_bytes": sent[-1], "early": early, "decided": trainer.strategy.decisions(),
    }  # fmt: skip


#: A training that is taken up again is compared after so many epochs.
COMPARED = 3
#: It is broken off after this step of this epoch, counted from 0; the last checkpoint is of the step before.
BROKEN_OFF = (1, 2)
EVERY, NEVER = CheckpointOptions(every_s=None, every_steps=5), CheckpointOptions(every_s=None)


class BrokenOffError(Exception):
    """As if the process had been killed."""


def break_off(case: Case, ranks: Ranks, checkpoints: Path, decided: Mapping[str, Any]) -> None:
    """Train until in the middle of the second epoch, and leave a checkpoint.

    decided: what the training that it is compared with has measured and chosen.
    """
    trainer, keeper, samples = _prepared(case, ranks, checkpoints, EVERY, decided)

    def after_step() -> None:
        keeper.after_step()
        if (trainer.position.epoch, trainer.position.step_in_epoch) == BROKEN_OFF:
            raise BrokenOffError

    with suppress(BrokenOffError):
        _go_on(trainer, keeper, samples, after_step)
    keeper.wait()
    trainer.strategy.close()


def go_on(case: Case, ranks: Ranks, checkpoints: Path) -> dict[str, Any]:
    """Take the training up again, in a trainer that knows nothing but the checkpoint."""
    trainer, keeper, samples = _prepared(case, ranks, checkpoints, NEVER, {})
    start = trainer.position.step
    _go_on(trainer, keeper, samples, keeper.after_step)
    keeper.wait()
    weights = {name: value.clone() for name, value in trainer.strategy.weights().items()}
    trainer.strategy.close()
    return {"start": start, "losses": [line["loss"] for line in trainer.position.history], "weights": weights}


def _prepared(
    case: Case, ranks: Ranks, checkpoints: Path, kept: CheckpointOptions, decided: Mapping[str, Any]
) -> tuple[Trainer, Keeper, Any]:
    options, about = case.training_options(), {"target": TASK, "options": {}, "strategy": case.strategy}
    task = load_task(TASK, work_dir=Path("/"))
    samples = task.data("train", options)
    found = find(checkpoints, ranks, about)
    decided = found[1].decided if found else decided
    trainer = Trainer(task, options, ranks, strategy_spec(case.strategy), decided=decided)
    keeper = Keeper(trainer, kept, checkpoints, training=about, stop=StopRequest(checkpoints / "stop"))
    if found:
        keeper.go_on_from(*found, samples)
    return trainer, keeper, samples


def _go_on(trainer: Trainer, keeper: Keeper, samples: Any, after_step: Callable[[], None]) -> None:
    for epoch in range(trainer.position.epoch, COMPARED):
        seen, loss = trainer.train_epoch(samples, epoch=epoch, after_step=after_step)
        trainer.end_epoch(samples=seen, loss=loss)
        keeper.after_epoch()


def main(folder: Path, larger: Path, chosen: list[str]) -> None:
    with meet() as ranks:
        _train_all(folder, larger, chosen, ranks)


def _train_all(folder: Path, larger: Path, chosen: list[str], ranks: Ranks) -> None:
    for name, case in CASES.items():
        if ranks.world_size in case.ranks and (not chosen or name in chosen):
            print(f"rank {ranks.rank}: {name} at {time.perf_counter():.1f} s", flush=True)
            seen = train(case, ranks)
            break_off(case, ranks, folder / name, seen["decided"])
            # Another number of ranks begins where these were broken off.
            if ranks.first:
                shutil.copytree(folder / name, folder / "broken-off" / name)
            dist.barrier()
            seen["resumed"] = go_on(case, ranks, folder / name)
            if (larger / "broken-off" / name).is_dir():
                if ranks.first:
                    shutil.copytree(larger / "broken-off" / name, folder / "resized" / name)
                dist.barrier()
                seen["resized"] = go_on(case, ranks, folder / "resized" / name)
            torch.save(seen, folder / f"{name}-{ranks.world_size}-{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
