"""How a strategy changes what one rank holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.trace import MemoryTrace


class Sharding:
    """One GPU, which holds everything: what every strategy may change."""

    def __init__(self, settings: ForecastSettings, trace: MemoryTrace) -> None:
        self.settings, self.trace = settings, trace
        self.notes: list[str] = []

    def place(self, model: Module) -> Module:
        """The model as this rank holds it."""
        return model

    def local(self, tensor: Tensor) -> Tensor:
        """This rank's part of a tensor."""
        return tensor

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        """The optimiser as this rank holds it."""
        return optimizer

    def prepare(self, model: Module) -> None:
        """What is set up before the first step."""


@contextmanager
def sharding_for(settings: ForecastSettings, trace: MemoryTrace) -> Iterator[Sharding]:
    """The strategy of the settings, with what it needs for as long as the context lasts."""
    yield Sharding(settings, trace)
