"""One epoch over this rank's shares, and the scores of the test set, summed up over all ranks."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.utils.data import Dataset

from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import evaluation_shares
from crowdrun.training.learning_rate import LearningRate
from crowdrun.training.position import Position
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.registry import make_strategy
from crowdrun.training.strategies.settings import StrategySpec


def _nothing() -> None:
    """What follows a step where nothing does."""


class Trainer:
    """A task and the strategy that trains it, on this rank."""

    def __init__(
        self,
        task: TrainingTask,
        options: TrainingOptions,
        ranks: Ranks,
        spec: StrategySpec,
        *,
        decided: Mapping[str, Any] | None = None,
    ) -> None:
        self.setup = Setup(task=task, options=options, ranks=ranks, decided=decided or {})
        self.strategy = make_strategy(spec, self.setup)
        self.position = Position()
        #: Called after each step, and each batch of the test set.
        self.got_on: Callable[[], None] = _nothing
        self._rate = LearningRate(self.strategy.optimizer, options)
        self._begun = time.perf_counter()

    def train_epoch(
        self, samples: Dataset[Any], *, epoch: int, after_step: Callable[[], None] = _nothing
    ) -> tuple[int, float]:
        """Samples that all ranks took, and their mean loss. An epoch that was broken off goes on where it was."""
        position = self.position
        if position.epoch != epoch:
            position.begin(epoch)
        self._begun = time.perf_counter()
        for share in self.strategy.shares(samples, epoch=epoch, start=position.step_in_epoch):
            self._rate.before_step(position.step)
            loss = self.strategy.step(share)
            position.stepped(share.samples if self.strategy.counts else 0, loss)
            self.got_on()
            after_step()
        self.strategy.end_epoch()
        totals = torch.tensor(
            [position.samples, position.loss_sum], dtype=torch.float64, device=self.setup.ranks.device
        )
        together, loss_together = self.setup.ranks.sum(totals).tolist()
        return int(together), loss_together / max(together, 1)

    def spent_s(self) -> float:
        """Time since this attempt took up the epoch, s."""
        return time.perf_counter() - self._begun

    def end_epoch(self, *, samples: int, loss: float) -> dict[str, Any]:
        """The line of an epoch in the history; the position is then before the next one."""
        took_s = self.position.earlier_s + self.spent_s()
        line = {"epoch": self.position.epoch + 1, "loss": loss, "samples_per_s": round(samples / took_s, 1)}
        self.position.history.append(line)
        self.position.begin(self.position.epoch + 1)
        self._begun = time.perf_counter()
        return line

    @torch.no_grad()
    def evaluate(self, samples: Dataset[Any]) -> tuple[dict[str, float], int]:
        """Mean of each score over the test set, and the parameters of the model."""
        model = self.strategy.whole_model()
        model.eval()
        sums: dict[str, tuple[int, float]] = {}
        for share in evaluation_shares(samples, self.setup.options, self.setup.ranks):
            with self.setup.precision():
                scores = self.setup.task.score(model, share.batch)
            for name, values in scores.items():
                count, total = sums.get(name, (0, 0.0))
                sums[name] = count + values.numel(), total + values.double().sum().item()
            self.got_on()
        return _means(self.setup.ranks.gather(sums)), sum(parameter.numel() for parameter in model.parameters())


def _means(parts: Iterable[dict[str, tuple[int, float]]]) -> dict[str, float]:
    """
    >>> _means([{"accuracy": (3, 3.0)}, {"accuracy": (1, 0.0)}, {}])
    {'accuracy': 0.75}
    """
    totals: dict[str, tuple[int, float]] = {}
    for part in parts:
        for name, (count, total) in part.items():
            before = totals.get(name, (0, 0.0))
            totals[name] = before[0] + count, before[1] + total
    return {name: total / count for name, (count, total) in totals.items()}
