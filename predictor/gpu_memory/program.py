"""What is traced: the functions of a task, bound to its options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class Program:
    """A training step, apart from how it is taken."""

    #: Makes the model.
    model: Callable[[], Module]
    #: Makes a micro-batch.
    batch: Callable[[], Any]
    #: (model, batch) -> scalar.
    loss: Callable[[Module, Any], Tensor]
    #: Makes the optimiser of a model; None where nothing is trained.
    optimizer: Callable[[Module], Optimizer] | None
