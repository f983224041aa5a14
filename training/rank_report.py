"""What a rank tells of its training: to who looks on, into a log of its own, and to TensorBoard.

Only the first rank prints, and writes what is of all ranks.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from crowdrun.data.durable import write_atomically
from crowdrun.training.rank_files import DATA_FILE, PROGRESS_FILE, RANK_LOG, STOPPED_FILE
from crowdrun.training.ranks import Ranks
from crowdrun.training.scalars import Scalars
from crowdrun.training.trainer import Trainer
from crowdrun.training.wire import sent_bytes


class RankReport:
    """The report of one rank; `folder` is the attempt's, None writes nothing."""

    def __init__(self, ranks: Ranks, folder: Path | None) -> None:
        self._ranks, self._folder = ranks, folder
        self._scalars = Scalars(folder.parent if folder and ranks.first else None)

    def source(self, text: str) -> None:
        """Where the samples come from."""
        if not self._ranks.first:
            return
        print(f"data: {text}", flush=True)
        if self._folder:
            write_atomically(self._folder / DATA_FILE, text.encode())

    def begin(self, trainer: Trainer) -> None:
        """The training begins, or goes on."""
        self._log(event="begin", step=trainer.position.step, device=str(self._ranks.device))

    def step(self, trainer: Trainer) -> None:
        """After each step."""
        position = trainer.position
        if position.samples:
            mean, rate = position.loss_sum / position.samples, trainer.strategy.optimizer.param_groups[0]["lr"]
            self._scalars.now_and_then(
                position.step, {"train/mean_loss_of_the_epoch": mean, "train/learning_rate": rate}
            )

    def epoch(self, trainer: Trainer, *, samples: int, loss: float) -> None:
        """After the last step of an epoch, before the position is that of the next.

        Args:
            trainer: that of this rank.
            samples: of all ranks.
            loss: mean over them.
        """
        own, held = trainer.position, held_mb(self._ranks)
        self._log(
            event="epoch", epoch=own.epoch + 1, step=own.step, samples=own.samples,
            loss=own.loss_sum / own.samples if own.samples else None, held_mb=held,
            sent_mb=round(sent_bytes() / 2**20, 3),
        )  # fmt: skip
        line = trainer.end_epoch(samples=samples, loss=loss)
        figures = {"loss": loss, "samples_per_s": line["samples_per_s"], "held_mb": held}
        self._scalars.add(trainer.position.step, {f"epoch/{name}": value for name, value in figures.items()})
        if self._ranks.first:
            self._tell({**line, "epochs": trainer.setup.options.epochs})

    def stopped(self, trainer: Trainer, reason: str) -> None:
        """The ranks were told to stop, and all is saved."""
        step = trainer.position.step
        self._log(event="stopped", step=step, reason=reason)
        self._scalars.close()
        if self._ranks.first and self._folder:
            print(f"told to stop ({reason}): saved at step {step}", flush=True)
            write_atomically(self._folder / STOPPED_FILE, json.dumps({"reason": reason, "step": step}).encode())

    def end(self, trainer: Trainer, scores: dict[str, float]) -> None:
        """The training is done, and the test set scored."""
        self._log(event="end", step=trainer.position.step, held_mb=held_mb(self._ranks))
        self._scalars.add(trainer.position.step, {f"test/{name}": value for name, value in scores.items()})
        self._scalars.close()

    def _tell(self, line: dict[str, Any]) -> None:
        print(" ".join(f"{name}={value:g}" for name, value in line.items()), flush=True)
        if self._folder:
            with (self._folder / PROGRESS_FILE).open("a") as stream:
                stream.write(json.dumps(line) + "\n")

    def _log(self, **line: Any) -> None:
        """A line in this rank's own log; a full disk costs the line, not the training."""
        if self._folder:
            told = {"time": round(time.time(), 3), "rank": self._ranks.rank, **line}
            with suppress(OSError), (self._folder / RANK_LOG.format(rank=self._ranks.rank)).open("a") as stream:
                stream.write(json.dumps(told) + "\n")


def progress(trainer: Trainer, *, steps: int) -> dict[str, float]:
    """How far this rank is, of so many steps an epoch, and what it holds; asked from a thread at any moment."""
    position, options = trainer.position, trainer.setup.options
    told = {
        "epoch": position.epoch,
        "epochs": options.epochs,
        "step_in_epoch": position.step_in_epoch,
        "steps_in_epoch": steps,
        "batch_size": options.batch_size,
        "held_mb": held_mb(trainer.setup.ranks),
    }
    return told | ({"loss": position.loss_sum / position.samples} if position.samples else {})


def held_mb(ranks: Ranks) -> float:
    """High-water mark of what the rank's forecast speaks of, MB: its GPU's memory, or its host memory."""
    if ranks.device.type == "cuda":
        return round(torch.cuda.max_memory_reserved() / 2**20, 1)
    return round(ranks.peak_rss_mb(), 1)


def footprint(ranks: Ranks) -> dict[str, Any]:
    """High-water marks of this rank, MB."""
    cuda = ranks.device.type == "cuda"
    return {
        "peak_mem_mb": round(ranks.peak_rss_mb(), 1),
        "peak_gpu_mem_mb": held_mb(ranks) if cuda else None,
    }
