"""Attention, and layers made of layers: residual, repeat, the block of a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from crowdrun.data.description.base import Count, Layer, Share, Signal, UnfitError, Width, sequence
from crowdrun.data.description.convolution import AdaptivePool, Conv1d, Conv2d, Conv3d, Pool
from crowdrun.data.description.pointwise import (
    Activation,
    ActivationName,
    ChannelNorm,
    Dropout,
    Embedding,
    LastNorm,
    Linear,
    Positions,
    Recurrent,
)
from crowdrun.data.description.shape import Flatten, Reshape, Take, Transpose


class Attention(Layer):
    """Each place of (length, features) looks at the others, with several heads."""

    kind: Literal["multi_head_attention"] = "multi_head_attention"
    heads: Count
    causal: bool = Field(default=False, description="only at those before it")
    dropout: Share = 0.0
    bias: bool = True

    def after(self, given: Signal) -> Signal:
        _, features = sequence(given)
        if features % self.heads:
            raise UnfitError(f"heads is {self.heads}; it must divide the {features} features")
        return given

    def weights(self, given: Signal) -> int:
        features = given.shape[-1]
        return 4 * features * (features + self.bias)


class TransformerBlock(Layer):
    """Attention and a perceptron, each added to what came in (Vaswani et al., 2017)."""

    kind: Literal["transformer_block"] = "transformer_block"
    heads: Count
    feedforward: Width | None = Field(default=None, description="features inside the perceptron; left out: four times")
    activation: ActivationName = "gelu"
    dropout: Share = 0.0
    causal: bool = False
    norm: Literal["before", "after"] = Field(default="before", description="of each of the two, or of each sum")

    def parts(self, given: Signal) -> list[AnyLayer]:
        """The same of simpler layers."""
        features = sequence(given)[1]
        drop: list[AnyLayer] = [Dropout(p=self.dropout)] if self.dropout else []
        norm = LastNorm(kind="layer_norm")
        attention = [Attention(heads=self.heads, causal=self.causal, dropout=self.dropout), *drop]
        perceptron = [
            Linear(features=self.feedforward or 4 * features), Activation(function=self.activation),
            Linear(features=features), *drop,
        ]  # fmt: skip
        if self.norm == "before":
            return [Residual(layers=(norm, *attention)), Residual(layers=(norm, *perceptron))]
        return [Residual(layers=tuple(attention)), norm, Residual(layers=tuple(perceptron)), norm]

    def after(self, given: Signal) -> Signal:
        return Attention(heads=self.heads).after(given)


class Residual(Layer):
    """Layers beside the identity, or beside others where they change the shape; both are added."""

    kind: Literal["residual"] = "residual"
    layers: Layers
    beside: tuple[AnyLayer, ...] = Field(default=(), description="left out: the identity", max_length=100)

    def after(self, given: Signal) -> Signal:
        raise NotImplementedError("`walk.py` knows layers of layers")


class Repeat(Layer):
    """Layers one after the other, `times` times, each with weights of its own."""

    kind: Literal["repeat"] = "repeat"
    times: Annotated[int, Field(ge=1, le=20_000, strict=True)]
    layers: Layers

    def after(self, given: Signal) -> Signal:
        raise NotImplementedError("`walk.py` knows layers of layers")


AnyLayer = Annotated[
    Conv1d | Conv2d | Conv3d | Pool | AdaptivePool | Linear | ChannelNorm | LastNorm | Activation | Dropout
    | Embedding | Positions | Recurrent | Flatten | Reshape | Transpose | Take | Attention | TransformerBlock
    | Residual | Repeat,
    Field(discriminator="kind"),
]  # fmt: skip
Layers = Annotated[tuple[AnyLayer, ...], Field(min_length=1, max_length=1000)]
#: Kinds that hold layers.
NESTED = (Residual, Repeat)
for _nested in NESTED:
    _nested.model_rebuild()


def kinds(layers: Sequence[type[Layer]]) -> list[str]:
    """Their names in a description."""
    return [str(name) for layer in layers for name in layer.model_fields["kind"].annotation.__args__]  # type: ignore[union-attr]
