"""The contract of a strategy: how one model is trained by several ranks.

Every row of `registry.py` passes `tests/training/strategies/test_contract.py`, which holds it against the training of
one process with the same seed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from crowdrun.data.recompute import checkpoint_blocks
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import Share, train_shares
from crowdrun.training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, and by whom."""

    task: TrainingTask
    options: TrainingOptions
    ranks: Ranks

    def model(self) -> nn.Module:
        """The network on this rank's device, with the same first weights on every rank."""
        torch.manual_seed(self.options.seed)
        model = self.task.model(self.options)
        if self.options.activation_checkpointing:
            checkpoint_blocks(model)
        return placed(model, self.ranks.device, self.options)

    def precision(self) -> torch.autocast:
        """For the forward pass."""
        return torch.autocast(self.ranks.device.type, torch.bfloat16, enabled=self.options.precision == "bf16")


def placed(model: nn.Module, device: torch.device, options: TrainingOptions) -> nn.Module:
    """The model on this rank's device; one that already lies on several devices stays where it is."""
    if options.precision == "fp64":
        model = model.double()
    several = len({parameter.device for parameter in model.parameters()}) > 1
    return model if several else model.to(device)


class Strategy(ABC):
    """One way of training, on one rank. All ranks make it, call `step` equally often and `weights` together."""

    #: The steps are those of one process, up to rounding.
    synchronous: ClassVar[bool] = True
    #: What the task's optimiser steps, on this rank.
    optimizer: Optimizer

    def __init__(self, setup: Setup, settings: Any) -> None:
        self.setup, self.settings = setup, settings

    @abstractmethod
    def step(self, share: Share) -> float:
        """Train on this rank's share of a global batch; its mean loss before the step."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """All weights and buffers under the names of the task's own model, on every rank."""

    @property
    def reader(self) -> Ranks:
        """Who this rank is when a batch is divided: ranks that train one copy together read the same samples."""
        return self.setup.ranks

    @property
    def counts(self) -> bool:
        """This rank's samples and losses count; false where another one counts them."""
        return True

    def shares(self, samples: Dataset[Any], *, epoch: int) -> Iterator[Share]:
        """This rank's shares of an epoch; each sample comes once over all readers."""
        return train_shares(samples, self.setup.options, self.reader, epoch=epoch)

    def end_epoch(self) -> None:  # noqa: B027
        """After the last step of an epoch; most have nothing left to do."""

    def report(self) -> Mapping[str, float | str]:
        """What a person may want to know of this rank, beside loss and memory."""
        return {}

    def whole_model(self) -> nn.Module:
        """The model as one process has it, to be evaluated: here a copy with `weights`."""
        model = self.setup.model()
        model.load_state_dict(self.weights())
        return model

    def close(self) -> None:  # noqa: B027
        """After the last use, on all ranks; most keep nothing open."""


class GradientStrategy(Strategy):
    """Backward and an optimiser's step on a model that takes care of the others by itself."""

    #: What is called; its gradients are the mean of the ranks' own.
    replica: nn.Module

    def step(self, share: Share) -> float:
        self.replica.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.setup.precision():
            loss = self.setup.task.loss(self.replica, share.batch)
        torch.autograd.backward(loss * self.weight(share))
        self.optimizer.step()
        return loss.item()

    def weight(self, share: Share) -> float:
        """The gradients are averaged as if each rank had the same share; where they differ, by one sample at most, each
        weighs its loss with its part of the global batch."""
        return share.samples * self.reader.world_size / share.together


def as_reader(ranks: Ranks, *, number: int, of: int) -> Ranks:
    """The ranks as those who divide a batch: copy `number` of so many."""
    return replace(ranks, rank=number, world_size=of)
