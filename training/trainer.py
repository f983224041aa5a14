"""One epoch over this rank's shares, and the scores of the test set, such that all ranks together do what one would.

DistributedDataParallel averages the gradients of the ranks as if each had the same share. Where the shares differ, by
one sample at most, each rank weighs its loss with its part of the global batch, so that the step is that of a single
rank with the whole batch, up to rounding.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import Share
from crowdrun.training.ranks import Ranks


class Trainer:
    """The model, its optimiser, and its replica on this rank."""

    def __init__(self, task: TrainingTask, options: TrainingOptions, ranks: Ranks) -> None:
        self.task, self.options, self.ranks = task, options, ranks
        self.model = placed(task.model(options), ranks.device, options)
        self.optimizer = task.optimizer(self.model, options)
        self.replica = DistributedDataParallel(self.model) if ranks.world_size > 1 else self.model

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train_epoch(self, shares: Iterable[Share]) -> tuple[int, float]:
        """Samples that all ranks took, and their mean loss."""
        self.replica.train()
        samples, loss_sum = 0, 0.0
        for share in shares:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(share)
            torch.autograd.backward(loss * (share.samples * self.ranks.world_size / share.together))
            self.optimizer.step()
            samples, loss_sum = samples + share.samples, loss_sum + share.samples * loss.item()
        totals = torch.tensor([samples, loss_sum], dtype=torch.float64, device=self.ranks.device)
        samples_together, loss_together = self.ranks.sum(totals).tolist()
        return int(samples_together), loss_together / max(samples_together, 1)

    @torch.no_grad()
    def evaluate(self, shares: Iterable[Share]) -> dict[str, float]:
        """Mean of each score over the test set."""
        # Not the replica: ranks may have different numbers of shares, and it would wait for the others.
        self.model.eval()
        sums: dict[str, tuple[int, float]] = {}
        for share in shares:
            with self._precision():
                scores = self.task.score(self.model, share.batch)
            for name, values in scores.items():
                count, total = sums.get(name, (0, 0.0))
                sums[name] = count + values.numel(), total + values.double().sum().item()
        return _means(self.ranks.gather(sums))

    def _loss(self, share: Share) -> Tensor:
        with self._precision():
            return self.task.loss(self.replica, share.batch)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.options.precision == "bf16")


def placed(model: nn.Module, device: torch.device, options: TrainingOptions) -> nn.Module:
    """The model on this rank's device; one that already lies on several devices stays where it is."""
    if options.precision == "fp64":
        model = model.double()
    several = len({parameter.device for parameter in model.parameters()}) > 1
    return model if several else model.to(device)


def _means(parts: list[dict[str, tuple[int, float]]]) -> dict[str, float]:
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
