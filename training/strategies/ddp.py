"""A copy of the model on each rank, gradients averaged while they are computed (DistributedDataParallel)."""

from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from crowdrun.training.strategies.base import GradientStrategy, Setup


class Ddp(GradientStrategy):
    """torch's own data parallelism (Li et al., "PyTorch Distributed", 2020)."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.model = setup.model()
        self.optimizer = setup.task.optimizer(self.model, setup.options)
        self.replica = self.wrapped()

    def wrapped(self) -> DistributedDataParallel:
        """The model with the hook that sends its gradients."""
        return DistributedDataParallel(self.model)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def whole_model(self) -> nn.Module:
        # Not the replica: ranks may have different numbers of test batches, and it would wait for the others.
        return self.model
