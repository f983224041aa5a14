"""From a description (`data/description`) to the program that is traced: its layers as torch's modules.

The blocks of `repeat` lie in a list, as those of a network that people write do: checkpointing and fsdp find them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.optim import Optimizer

from crowdrun.data.description.base import Layer, Signal
from crowdrun.data.description.blocks import Repeat, Residual, TransformerBlock
from crowdrun.data.description.model import ModelDescription
from crowdrun.data.description.walk import follow
from crowdrun.data.errors import ConfigError
from crowdrun.predictor.gpu_memory.described_layers import MAKERS
from crowdrun.predictor.gpu_memory.program import Program

#: Those that a description may be trained with, as `training/optimizers.py` has them; what they keep is what counts.
OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "sgd": partial(optim.SGD, momentum=0.9),
}


def described_program(
    model: ModelDescription,
    *,
    micro_batch: int,
    optimizer: str = "adamw",
    precision: str = "fp32",
    training: bool = True,
) -> Program:
    """What is traced for a description that was checked (`described`), with batches of `micro_batch` samples.

    Raises:
        ConfigError: the optimiser is none of the table.
    """
    if optimizer not in OPTIMIZERS:
        raise ConfigError(f"optimizer is {optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
    given = Signal(shape=model.input.shape, whole=model.input.dtype == "int64")
    last = model.follow().signal
    real = torch.float64 if precision == "fp64" else torch.float32

    def build() -> nn.Module:
        made = _chain(model.layers, given)
        return made.double() if precision == "fp64" else made

    def batch() -> list[Tensor]:
        return [
            torch.empty((micro_batch, *given.shape), dtype=torch.int64 if given.whole else real),
            _wanted(model.loss, (micro_batch, *last.shape), real),
        ]

    def loss(made: nn.Module, one: Any) -> Tensor:
        return _loss(model.loss, made(one[0]), one[1])

    return Program(
        model=build, batch=batch, loss=loss,
        optimizer=(lambda made: OPTIMIZERS[optimizer](made.parameters())) if training else None,
    )  # fmt: skip


def _wanted(loss: str, shape: Sequence[int], real: torch.dtype) -> Tensor:
    if loss == "mse":
        return torch.empty(tuple(shape), dtype=real)
    if loss == "cross_entropy_channels":
        return torch.empty((shape[0], *shape[2:]), dtype=torch.int64)
    return torch.empty(tuple(shape[:-1]), dtype=torch.int64)


def _loss(name: str, made: Tensor, wanted: Tensor) -> Tensor:
    if name == "mse":
        return functional.mse_loss(made, wanted)
    if name == "cross_entropy_channels":
        return functional.cross_entropy(made, wanted)
    return functional.cross_entropy(made.flatten(0, -2), wanted.flatten())


def _chain(layers: Sequence[Layer], given: Signal) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in layers:
        modules += _modules(layer, given)
        given = follow([layer], given).signal
    return nn.Sequential(*modules)


def _modules(layer: Layer, given: Signal) -> list[nn.Module]:
    """Those of one layer, of which a repeated one has as many as it is repeated."""
    if isinstance(layer, Repeat):
        blocks: list[nn.Module] = []
        for _ in range(layer.times):
            body = _chain(layer.layers, given)
            blocks.append(body[0] if len(body) == 1 else Block(body))
            given = follow(layer.layers, given).signal
        return blocks
    if isinstance(layer, TransformerBlock):
        return [Block(_chain(layer.parts(given), given))]
    if isinstance(layer, Residual):
        return [Added(_chain(layer.layers, given), _chain(layer.beside, given) if layer.beside else nn.Identity())]
    return [MAKERS[type(layer)](layer, given)]


class Block(nn.Module):
    """Layers one after the other that belong together."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = self.body(given)
        return made


class Added(nn.Module):
    """Layers, and what is beside them, added."""

    def __init__(self, body: nn.Module, beside: nn.Module) -> None:
        super().__init__()
        self.body, self.beside = body, beside

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = self.body(given) + self.beside(given)
        return made
