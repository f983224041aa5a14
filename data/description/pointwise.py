"""Layers that know no neighbours: linear, norms, activations, dropout, an embedding, learned positions."""

from typing import Annotated, Literal

from pydantic import Field

from crowdrun.data.description.base import Count, Layer, Share, Signal, UnfitError, Width, floats, sequence

ActivationName = Literal["relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "mish", "tanh", "sigmoid", "softmax"]


class Linear(Layer):
    """A product with a matrix, over the last dimension."""

    kind: Literal["linear"] = "linear"
    features: Width = Field(description="of what comes out")
    bias: bool = True

    def after(self, given: Signal) -> Signal:
        return Signal(shape=(*floats(given)[:-1], self.features))

    def weights(self, given: Signal) -> int:
        return self.features * (given.shape[-1] + self.bias)


class ChannelNorm(Layer):
    """A norm over the channels of an image, which are its first dimension."""

    kind: Literal["batch_norm", "instance_norm", "group_norm"]
    groups: Annotated[int, Field(ge=1, le=1 << 16, strict=True)] = Field(default=1, description="of group_norm")

    def after(self, given: Signal) -> Signal:
        channels = floats(given, *((2, 3, 4) if self.kind == "instance_norm" else (1, 2, 3, 4)))[0]
        if channels % self.groups:
            raise UnfitError(f"groups is {self.groups}; it must divide the {channels} channels")
        return given

    def weights(self, given: Signal) -> int:
        return 0 if self.kind == "instance_norm" else 2 * given.shape[0]


class LastNorm(Layer):
    """A norm over the last dimension."""

    kind: Literal["layer_norm", "rms_norm"]

    def after(self, given: Signal) -> Signal:
        floats(given)
        return given

    def weights(self, given: Signal) -> int:
        return given.shape[-1] * (2 if self.kind == "layer_norm" else 1)


class Activation(Layer):
    """A function of each number alone; softmax over the last dimension."""

    kind: Literal["activation"] = "activation"
    function: ActivationName
    inplace: bool = Field(default=False, description="overwrite what came in; of relu, leaky_relu, elu, silu and mish")

    def after(self, given: Signal) -> Signal:
        floats(given)
        if self.inplace and self.function not in {"relu", "leaky_relu", "elu", "silu", "mish"}:
            raise UnfitError(f"torch has no {self.function} in place; leave inplace out")
        return given


class Dropout(Layer):
    """Zero for a share of the numbers, while training."""

    kind: Literal["dropout"] = "dropout"
    p: Share = 0.5

    def after(self, given: Signal) -> Signal:
        floats(given)
        return given


class Embedding(Layer):
    """A vector for each token."""

    kind: Literal["embedding"] = "embedding"
    count: Width = Field(description="different tokens")
    features: Width = Field(description="of a vector")

    def after(self, given: Signal) -> Signal:
        if not given.whole:
            raise UnfitError('it takes whole numbers; give the input the dtype "int64" and put it first')
        return Signal(shape=(*given.shape, self.features))

    def weights(self, given: Signal) -> int:
        del given
        return self.count * self.features


class Positions(Layer):
    """A learned vector for each place of a sequence, added to it."""

    kind: Literal["positions"] = "positions"

    def after(self, given: Signal) -> Signal:
        sequence(given)
        return given

    def weights(self, given: Signal) -> int:
        return given.elements


class Recurrent(Layer):
    """A recurrent layer over (length, features)."""

    kind: Literal["lstm", "gru"]
    units: Width
    layers: Annotated[Count, Field(le=1000)] = 1
    bidirectional: bool = False
    dropout: Share = 0.0

    def after(self, given: Signal) -> Signal:
        length, _ = sequence(given)
        return Signal(shape=(length, self.units * (1 + self.bidirectional)))

    def weights(self, given: Signal) -> int:
        gates, ways = (4 if self.kind == "lstm" else 3), 1 + self.bidirectional
        into = [given.shape[-1], *[self.units * ways] * (self.layers - 1)]
        return sum(ways * gates * self.units * (features + self.units + 2) for features in into)
