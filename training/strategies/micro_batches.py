"""Parts of a batch, and a task's loss taken apart: what goes into the model, and what is made of what comes out.

A task's `loss(model, batch)` calls the model once. With a model that stops it there, its input is seen; with one that
answers with what the last stage computed, the loss is.
"""

from typing import Any

import torch
from torch import Tensor, nn

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingTask
from crowdrun.training.batches import Share, moved
from crowdrun.training.parts import cut, samples_in
from crowdrun.training.strategies.base import Setup


class _SeenError(Exception):
    def __init__(self, inputs: tuple[Any, ...]) -> None:
        self.inputs = inputs


class _Stop(nn.Module):
    def forward(self, *inputs: Any) -> Any:
        raise _SeenError(inputs)


class StandIn(nn.Module):
    """Answers with what was computed before."""

    def __init__(self, out: Tensor) -> None:
        super().__init__()
        self._out = out

    def forward(self, *inputs: Any) -> Tensor:
        del inputs
        return self._out


def inputs_of(task: TrainingTask, batch: Any) -> Tensor:
    """What the task's loss puts into the model.

    Raises:
        ConfigError: it is not one tensor.
    """
    try:
        task.loss(_Stop(), batch)
    except _SeenError as seen:
        if len(seen.inputs) == 1 and isinstance(seen.inputs[0], Tensor):
            return seen.inputs[0]
    raise ConfigError("a pipeline needs a task whose loss calls the model once, with one tensor; take another strategy")


def parts_of(share: Share, wanted: int, *, most: int | None) -> list[Any]:
    """Equal parts of a share's batch: as many as wanted or the next smaller number that divides it, or more where a
    part would have more than `most` samples."""
    size = samples_in(share.batch)
    dividing = [number for number in range(1, size + 1) if size % number == 0]
    count = max(number for number in dividing if number <= wanted)
    if most:
        count = next(number for number in dividing if number >= count and size // number <= most)
    return [cut(share.batch, start, size // count) for start in range(0, size, size // count)]


def to_device(batch: Any, setup: Setup) -> Any:
    """A batch on the rank's device, in the numbers of the options."""
    return moved(batch, setup.ranks.device, torch.float64 if setup.options.precision == "fp64" else None)
