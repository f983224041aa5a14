"""Layers that compute nothing: they give what comes in another shape, or leave some of it out."""

import math
from typing import Annotated, Literal

from pydantic import Field

from crowdrun.data.description.base import Layer, Signal, UnfitError, Width, floats, sequence

Axis = Annotated[int, Field(ge=0, le=4, strict=True)]


class Flatten(Layer):
    """One dimension for all from `start` on."""

    kind: Literal["flatten"] = "flatten"
    start: Axis = Field(default=0, description="0 is the first after the batch")

    def after(self, given: Signal) -> Signal:
        shape = floats(given)
        if self.start >= len(shape):
            raise UnfitError(f"start is {self.start}; {given.text} has the dimensions 0 to {len(shape) - 1}")
        return Signal(shape=(*shape[: self.start], math.prod(shape[self.start :])))


class Reshape(Layer):
    """The same numbers in another shape."""

    kind: Literal["reshape"] = "reshape"
    shape: Annotated[tuple[Width, ...], Field(min_length=1, max_length=4)]

    def after(self, given: Signal) -> Signal:
        floats(given)
        if math.prod(self.shape) != given.elements:
            raise UnfitError(f"shape holds {math.prod(self.shape)} numbers; {given.text} are {given.elements}")
        return Signal(shape=self.shape)


class Transpose(Layer):
    """Two dimensions change places."""

    kind: Literal["transpose"] = "transpose"
    first: Axis = 0
    second: Axis = 1

    def after(self, given: Signal) -> Signal:
        shape = list(floats(given))
        if max(self.first, self.second) >= len(shape):
            raise UnfitError(f"{given.text} has the dimensions 0 to {len(shape) - 1}")
        shape[self.first], shape[self.second] = shape[self.second], shape[self.first]
        return Signal(shape=tuple(shape))


class Take(Layer):
    """One vector of a sequence: the first, the last, or their mean."""

    kind: Literal["take"] = "take"
    place: Literal["first", "last", "mean"]

    def after(self, given: Signal) -> Signal:
        return Signal(shape=(sequence(given)[1],))
