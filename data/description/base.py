"""What all layers of a description share: strict fields, and the shape that goes from one to the next.

>>> Signal(shape=(3, 224, 224)).text
'3 x 224 x 224'
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

#: Largest width of a layer, and largest side of a kernel.
MOST_WIDE, MOST_KERNEL = 1 << 22, 1 << 10

Width = Annotated[int, Field(ge=1, le=MOST_WIDE, strict=True)]
Count = Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """What one sample is between two layers."""

    #: Without the batch: (channels, *space) for images, (length, features) for sequences.
    shape: tuple[int, ...]
    #: Whole numbers, such as tokens, which only an embedding takes.
    whole: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def text(self) -> str:
        return " x ".join(map(str, self.shape))


class UnfitError(ValueError):
    """A layer that cannot follow the one before it; the place is not known here."""


class Strict(BaseModel):
    """A part of a description: a field that is not listed is refused, and numbers are not made from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(Strict, ABC):
    """One layer. `kind` is its name in the JSON; the other fields are torch's, by torch's names where there is one."""

    @abstractmethod
    def after(self, given: Signal) -> Signal:
        """What it makes of one sample.

        Raises:
            UnfitError: it cannot take that.
        """

    def weights(self, given: Signal) -> int:
        """Elements of its parameters."""
        del given
        return 0


def floats(given: Signal, *ranks: int) -> tuple[int, ...]:
    """The shape, if it is one of numbers with so many dimensions (any, where none is named).

    Raises:
        UnfitError: it is not.
    """
    if given.whole:
        raise UnfitError(f"it gets whole numbers ({given.text}), which only an embedding takes; put one before it")
    if ranks and len(given.shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise UnfitError(f"it takes {wanted} dimensions a sample, and gets {given.text}")
    return given.shape


def sequence(given: Signal) -> tuple[int, int]:
    """(length, features)

    Raises:
        UnfitError: it is no sequence.
    """
    length, features = floats(given, 2)
    return length, features


def sizes(least: int, most: int = MOST_KERNEL) -> Any:
    """The type of a whole number, or a list with one for each dimension of the image."""
    rule = f"must be a whole number from {least} to {most}, or a list of one for each dimension"

    def check(value: Any) -> tuple[int, ...]:
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        fine = all(isinstance(one, int) and not isinstance(one, bool) and least <= one <= most for one in values)
        if not fine or not 1 <= len(values) <= 3:
            raise ValueError(rule)
        return values

    whole = {"type": "integer", "minimum": least, "maximum": most}
    schema = {"anyOf": [whole, {"type": "array", "items": whole, "minItems": 1, "maxItems": 3}]}
    return Annotated[tuple[int, ...], BeforeValidator(check), WithJsonSchema(schema)]


def each(values: Sequence[int], dimensions: int, name: str) -> tuple[int, ...]:
    """One for each dimension.

    Raises:
        UnfitError: there are fewer or more.
    """
    if len(values) not in (1, dimensions):
        raise UnfitError(f"{name} has {len(values)} numbers; the image has {dimensions} dimensions")
    return tuple(values) * dimensions if len(values) == 1 else tuple(values)
