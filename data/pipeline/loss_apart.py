"""A task's loss taken apart: what goes into the model, and what is made of what comes out.

A task's `loss(model, batch)` calls the model once. With a model that stops it there, its input is seen; with one that
answers with what the last stage computed, the loss is.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import Module

from crowdrun.data.errors import ConfigError


class _SeenError(Exception):
    def __init__(self, inputs: tuple[Any, ...]) -> None:
        self.inputs = inputs


class _Stop(Module):
    def forward(self, *inputs: Any) -> Any:
        raise _SeenError(inputs)


class StandIn(Module):
    """Answers with what was computed before."""

    def __init__(self, out: Tensor) -> None:
        super().__init__()
        self._out = out

    def forward(self, *inputs: Any) -> Tensor:
        del inputs
        return self._out


def inputs_of(loss: Callable[[Module, Any], Tensor], batch: Any) -> Tensor:
    """What the loss puts into the model.

    Raises:
        ConfigError: it is not one tensor.
    """
    try:
        loss(_Stop(), batch)
    except _SeenError as seen:
        if len(seen.inputs) == 1 and isinstance(seen.inputs[0], Tensor):
            return seen.inputs[0]
    raise ConfigError("a pipeline needs a task whose loss calls the model once, with one tensor; take another strategy")
