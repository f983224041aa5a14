"""Each layer of a description as a module of torch's; one row a layer. A new layer is a class there and a row here."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.description.base import Layer, Signal
from crowdrun.data.description.blocks import Attention
from crowdrun.data.description.convolution import AdaptivePool, Conv1d, Conv2d, Conv3d, Pool
from crowdrun.data.description.pointwise import (
    Activation,
    ChannelNorm,
    Dropout,
    Embedding,
    LastNorm,
    Linear,
    Positions,
    Recurrent,
)
from crowdrun.data.description.shape import Flatten, Reshape, Take, Transpose

#: By the dimensions of the image.
_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVG_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
_BATCH = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_FUNCTIONS: Mapping[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish,
    "gelu_tanh": lambda: nn.GELU("tanh"), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softmax": lambda: nn.Softmax(-1),
}  # fmt: skip


class SelfAttention(nn.Module):
    """(batch, length, features) to the same, by torch's fused attention."""

    def __init__(self, features: int, layer: Attention) -> None:
        super().__init__()
        self.heads, self.causal, self.p = layer.heads, layer.causal, layer.dropout
        self.into, self.out = (nn.Linear(features, wide * features, bias=layer.bias) for wide in (3, 1))

    def forward(self, given: Tensor) -> Tensor:
        split = self.into(given).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        p = self.p if self.training else 0.0
        seen = functional.scaled_dot_product_attention(split[0], split[1], split[2], is_causal=self.causal, dropout_p=p)
        made: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return made


class LearnedPositions(nn.Module):
    """A vector for each place, added."""

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(length, features))

    def forward(self, given: Tensor) -> Tensor:
        return given + self.weight


class Sequences(nn.Module):
    """A recurrent layer that gives what it saw at every place, without its last state."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = self.recurrent(given)[0]
        return made


class Shaped(nn.Module):
    """A layer that computes nothing, or a mean."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, given: Tensor) -> Tensor:
        return self.change(given)


def _convolution(layer: Any, given: Signal) -> nn.Module:
    kind: Any = _CONVOLUTION[layer.dimensions]
    made: nn.Module = kind(given.shape[0], layer.channels, groups=layer.groups, bias=layer.bias, **layer.window())
    return made


def _pool(layer: Pool, given: Signal) -> nn.Module:
    dimensions = len(given.shape) - 1
    kinds: Any = _MAX_POOL if layer.kind == "max_pool" else _AVG_POOL
    made: nn.Module = kinds[dimensions](**layer.window(dimensions))
    return made


def _adaptive(layer: AdaptivePool, given: Signal) -> nn.Module:
    kinds: Any = _ADAPTIVE
    made: nn.Module = kinds[len(given.shape) - 1](layer.after(given).shape[1:])
    return made


def _channel_norm(layer: ChannelNorm, given: Signal) -> nn.Module:
    channels, dimensions = given.shape[0], len(given.shape) - 1
    if layer.kind == "group_norm":
        return nn.GroupNorm(layer.groups, channels)
    kinds: Any = _BATCH if layer.kind == "batch_norm" else _INSTANCE
    made: nn.Module = kinds[dimensions](channels)
    return made


def _last_norm(layer: LastNorm, given: Signal) -> nn.Module:
    return (nn.LayerNorm if layer.kind == "layer_norm" else nn.RMSNorm)(given.shape[-1])


def _activation(layer: Activation, given: Signal) -> nn.Module:
    del given
    return _FUNCTIONS[layer.function](**({"inplace": True} if layer.inplace else {}))


def _recurrent(layer: Recurrent, given: Signal) -> nn.Module:
    kind = nn.LSTM if layer.kind == "lstm" else nn.GRU
    # torch warns of a dropout that has no layer to follow.
    p = layer.dropout if layer.layers > 1 else 0.0
    made = kind(
        given.shape[-1], layer.units, layer.layers, batch_first=True, bidirectional=layer.bidirectional, dropout=p
    )
    return Sequences(made)


def _take(layer: Take, given: Signal) -> nn.Module:
    del given
    if layer.place == "mean":
        return Shaped(lambda states: states.mean(1))
    at = 0 if layer.place == "first" else -1
    return Shaped(lambda states: states[:, at])


#: Layer -> makes the module; (layer, what one sample is before it).
MAKERS: Mapping[type[Layer], Callable[[Any, Signal], nn.Module]] = {
    Activation: _activation,
    AdaptivePool: _adaptive,
    Attention: lambda layer, given: SelfAttention(given.shape[-1], layer),
    ChannelNorm: _channel_norm,
    Conv1d: _convolution,
    Conv2d: _convolution,
    Conv3d: _convolution,
    Dropout: lambda layer, _: nn.Dropout(layer.p),
    Embedding: lambda layer, _: nn.Embedding(layer.count, layer.features),
    Flatten: lambda layer, _: nn.Flatten(layer.start + 1),
    LastNorm: _last_norm,
    Linear: lambda layer, given: nn.Linear(given.shape[-1], layer.features, bias=layer.bias),
    Pool: _pool,
    Positions: lambda _, given: LearnedPositions(*given.shape),
    Recurrent: _recurrent,
    Reshape: lambda layer, given: nn.Unflatten(1, layer.shape) if len(given.shape) == 1 else _reshape(layer),
    Take: _take,
    Transpose: lambda layer, _: Shaped(lambda states: states.transpose(layer.first + 1, layer.second + 1)),
}


def _reshape(layer: Reshape) -> nn.Module:
    return Shaped(lambda states: states.reshape(states.shape[0], *layer.shape))
