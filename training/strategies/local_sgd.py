"""Each rank trains a copy by itself, and the copies are averaged now and then.

Periodic averaging: Zhang, De Sa, Mitliagkas and Ré, "Parallel SGD: when does averaging help?", 2016; Stich, "Local SGD
converges fast and communicates little", 2019. With private shards it is federated averaging (McMahan et al., 2017): a
rank never sees another's samples, and counts by how many it has.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crowdrun.data.errors import ConfigError
from crowdrun.training.batches import Share, private_shares
from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.strategies.accumulation import backward
from crowdrun.training.strategies.base import Setup, Strategy
from crowdrun.training.strategies.flat import fill, flattened


class LocalSgd(Strategy):
    """With period 1, plain SGD and equal shares it is data parallelism; the optimiser's state is never averaged."""

    synchronous = False
    own_weights = True

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        own, ranks = settings.private_shares, setup.ranks.world_size
        if own and len(own) != ranks:
            raise ConfigError(f"private_shares has {len(own)} figures; it must have one for each of the {ranks} ranks")
        self.model = setup.model()
        self.optimizer = setup.task.optimizer(self.model, setup.options)
        self._steps = self._samples = 0

    def step(self, share: Share) -> float:
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        micro_batch = self.setup.options.micro_batch
        loss = backward(partial(self.setup.loss, self.model), share, weight=1.0, micro_batch=micro_batch)
        if share.samples:  # else the sample is another rank's, here to keep step with the others
            self.optimizer.step()
        self._steps, self._samples = self._steps + 1, self._samples + share.samples
        # With private shards the ranks take different numbers of steps, and meet at the end of the epoch alone.
        if not self.settings.private_shares and self._steps % self.settings.period == 0:
            self._average()
        return loss

    def end_epoch(self) -> None:
        if self.settings.private_shares or self._steps % self.settings.period:
            self._average()
        self._steps = 0

    def shares(self, samples: Dataset[Any], *, epoch: int, start: int = 0) -> Iterator[Share]:
        own = self.settings.private_shares
        if not own:
            return super().shares(samples, epoch=epoch, start=start)
        return private_shares(samples, self.setup.options, self.setup.ranks, epoch=epoch, parts=own, start=start)

    @property
    def in_step(self) -> bool:
        return not self.settings.private_shares

    def held(self) -> Held:
        return held(self.model, self.optimizer)

    def inexact(self, *, resized: bool) -> str | None:
        return "each rank goes on from the copy, with its optimiser, of one that was there" if resized else None

    def own_state(self) -> dict[str, Any]:
        return {**super().own_state(), "steps": self._steps, "samples": self._samples}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        super().load_own_state(state)
        self._steps, self._samples = state["steps"], state["samples"]

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def whole_model(self) -> nn.Module:
        return self.model

    def _average(self) -> None:
        """The mean of all copies, each weighed by the samples that it has seen since they met."""
        mine = flattened(self.model)
        total = self.setup.ranks.sum(torch.cat([mine * self._samples, mine.new_tensor([float(self._samples)])]))
        fill(self.model, total[:-1] / total[-1])
        self._samples = 0
