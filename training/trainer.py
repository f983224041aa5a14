"""One epoch over this rank's shares, and the scores of the test set, summed up over all ranks."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import Dataset

from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import evaluation_shares
from crowdrun.training.learning_rate import LearningRate
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.registry import make_strategy
from crowdrun.training.strategies.settings import StrategySpec


class Trainer:
    """A task and the strategy that trains it, on this rank."""

    def __init__(self, task: TrainingTask, options: TrainingOptions, ranks: Ranks, spec: StrategySpec) -> None:
        self.setup = Setup(task=task, options=options, ranks=ranks)
        self.strategy = make_strategy(spec, self.setup)
        self._rate = LearningRate(self.strategy.optimizer, options)

    def train_epoch(self, samples: Dataset[Any], *, epoch: int) -> tuple[int, float]:
        """Samples that all ranks took, and their mean loss."""
        seen, loss_sum = 0, 0.0
        for share in self.strategy.shares(samples, epoch=epoch):
            self._rate.before_step()
            loss = self.strategy.step(share)
            if self.strategy.counts:
                seen, loss_sum = seen + share.samples, loss_sum + share.samples * loss
        self.strategy.end_epoch()
        totals = torch.tensor([seen, loss_sum], dtype=torch.float64, device=self.setup.ranks.device)
        together, loss_together = self.setup.ranks.sum(totals).tolist()
        return int(together), loss_together / max(together, 1)

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
