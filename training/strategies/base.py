"""The contract of a strategy: how one model is trained by several ranks.

Every row of `registry.py` passes `tests/training/strategies/test_contract.py`, which holds it against the training of
one process with the same seed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from crowdrun.data.recompute import checkpoint_blocks
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.batches import Share, train_shares
from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.accumulation import backward


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, and by whom."""

    task: TrainingTask
    options: TrainingOptions
    ranks: Ranks
    #: What an earlier attempt of the run measured and chose, so that this one need not choose otherwise.
    decided: Mapping[str, Any] = field(default_factory=dict)

    def model(self, device: torch.device | None = None) -> nn.Module:
        """The network on a device, this rank's if none is named, with the same first weights on every rank."""
        torch.manual_seed(self.options.seed)
        model = self.task.model(self.options)
        if self.options.activation_checkpointing:
            checkpoint_blocks(model)
        return placed(model, device or self.ranks.device, self.options)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The task's, of a batch."""
        with self.precision():
            return self.task.loss(model, batch)

    def precision(self) -> AbstractContextManager[Any]:
        """For the forward pass."""
        if self.options.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.ranks.device.type, torch.bfloat16)


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
    #: Each rank has weights of its own, so a checkpoint holds those of all; else one copy, whoever holds its parts.
    own_weights: ClassVar[bool] = False
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

    @abstractmethod
    def held(self) -> Held:
        """What this rank holds of the model, and its optimiser: what a checkpoint is made of."""

    def state(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint, this rank's part of them; all ranks call it together."""
        return self.held().tensors()

    def template(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `load_state` wants to have filled from a checkpoint that holds `kept`."""
        return self.held().template(kept)

    def load_state(self, filled: Mapping[str, Tensor]) -> None:
        """Go on from the tensors of a checkpoint."""
        self.held().load(filled)

    def own_state(self) -> dict[str, Any]:
        """What only this rank knows, beside its random numbers: read by the same rank of as many."""
        return {"buffers": {name: value.cpu().clone() for name, value in self.held().buffers.items()}}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `own_state`, after `load_state`; not called with another number of ranks."""
        buffers = self.held().buffers
        for name, value in state["buffers"].items():
            buffers[name].copy_(value)

    def inexact(self, *, resized: bool) -> str | None:
        """What is not as without a break when a training goes on, with another number of ranks or as many; in words."""
        del resized
        return None

    def decisions(self) -> Mapping[str, Any]:
        """What was measured and chosen at the start, for `Setup.decided` of the next attempt; as JSON has it."""
        return {}

    def warm_up(self, share: Share) -> None:  # noqa: B027
        """Before a checkpoint is loaded, on all ranks: what a first step changes for the steps that follow."""

    @property
    def in_step(self) -> bool:
        """All ranks take the same number of steps in an epoch."""
        return True

    @property
    def reader(self) -> Ranks:
        """Who this rank is when a batch is divided: ranks that train one copy together read the same samples."""
        return self.setup.ranks

    @property
    def counts(self) -> bool:
        """This rank's samples and losses count; false where another one counts them."""
        return True

    def shares(self, samples: Dataset[Any], *, epoch: int, start: int = 0) -> Iterator[Share]:
        """This rank's shares of an epoch from step `start` on; each sample comes once over all readers."""
        return train_shares(samples, self.setup.options, self.reader, epoch=epoch, start=start)

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

    def held(self) -> Held:
        return held(self.replica, self.optimizer)

    def shares(self, samples: Dataset[Any], *, epoch: int, start: int = 0) -> Iterator[Share]:
        # Once an epoch: it walks over all modules, which takes a small network as long as its loss.
        self.replica.train()
        return super().shares(samples, epoch=epoch, start=start)

    def step(self, share: Share) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = backward(
            partial(self.setup.loss, self.replica),
            share,
            weight=self.weight(share),
            micro_batch=self.setup.options.micro_batch,
            largest=-(-share.together // self.reader.world_size),
            quiet=self.quiet,
        )
        self.after_backward()
        self.optimizer.step()
        return loss

    def quiet(self) -> AbstractContextManager[None]:
        """Around all micro-batches but the last: gradients stay here where they can."""
        return nullcontext()

    def after_backward(self) -> None:
        """Before the optimiser's step, where the model does not take care of the others by itself."""

    def weight(self, share: Share) -> float:
        """The gradients are averaged as if each rank had the same share; where they differ, by one sample at most, each
        weighs its loss with its part of the global batch."""
        return share.samples * self.reader.world_size / share.together


def as_reader(ranks: Ranks, *, number: int, of: int) -> Ranks:
    """The ranks as those who divide a batch: copy `number` of so many."""
    return replace(ranks, rank=number, world_size=of)
