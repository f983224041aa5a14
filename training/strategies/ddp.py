"""A copy of the model on each rank, gradients averaged while they are computed (DistributedDataParallel)."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crowdrun.training.batches import Share
from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.strategies.base import GradientStrategy, Setup


class Ddp(GradientStrategy):
    """torch's own data parallelism (Li et al., "PyTorch Distributed", 2020)."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.model = setup.model()
        self.optimizer = setup.task.optimizer(self.model, setup.options)
        self.replica: DistributedDataParallel = self.wrapped()

    def quiet(self) -> AbstractContextManager[None]:
        return self.replica.no_sync()

    def wrapped(self) -> DistributedDataParallel:
        """The model with the hook that sends its gradients."""
        return DistributedDataParallel(self.model)

    def held(self) -> Held:
        return held(self.model, self.optimizer)

    def warm_up(self, share: Share) -> None:
        """DDP arranges its buckets anew after the first way back, and sums in another order then."""
        torch.autograd.backward(self.setup.loss(self.replica, share.batch))
        self.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def whole_model(self) -> nn.Module:
        # Not the replica: ranks may have different numbers of test batches, and it would wait for the others.
        return self.model
