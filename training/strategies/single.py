"""One rank, which communicates with nobody."""

from typing import Any

from torch import Tensor, nn

from crowdrun.training.strategies.base import GradientStrategy, Setup


class Single(GradientStrategy):
    """The model as it is; the registry takes it for one rank only."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.replica = setup.model()
        self.optimizer = setup.task.optimizer(self.replica, setup.options)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.replica.state_dict())

    def whole_model(self) -> nn.Module:
        return self.replica
