"""A whole model as JSON: its input, its layers and its loss; or the name of a known network and its options.

>>> content = {"input": {"shape": [784]}, "layers": [{"kind": "linear", "features": 10}]}
>>> described(content).follow().parameters
7850
>>> described(content | {"layers": [{"kind": "dropout", "p": 2}]})
Traceback (most recent call last):
...
crowdrun.data.errors.DescriptionError: layers[0].p is 2; it must be below 1
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from crowdrun.data.description.base import Signal, Strict, Width
from crowdrun.data.description.blocks import Layers
from crowdrun.data.description.complaint import complaint
from crowdrun.data.description.walk import Followed, follow
from crowdrun.data.errors import DescriptionError

OPTION_LIMIT = 1 << 22


def _option(value: Any) -> Any:
    if not isinstance(value, bool | int) or not 0 <= value <= OPTION_LIMIT:
        raise ValueError(f"must be true, false, or a whole number from 0 to {OPTION_LIMIT:,}")
    return value


_OPTION_SCHEMA = {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": OPTION_LIMIT}]}
Option = Annotated[Any, BeforeValidator(_option), WithJsonSchema(_OPTION_SCHEMA)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strict=True, pattern=r"^[\w.+/-]+$")]


class Input(Strict):
    """One sample, as it comes from the data set."""

    shape: Annotated[tuple[Width, ...], Field(min_length=1, max_length=4)] = Field(
        description="without the batch: [channels, height, width], [length, features], or [length] for tokens"
    )
    dtype: Literal["float32", "int64"] = Field(default="float32", description="int64: tokens")


class ModelDescription(Strict):
    """Layers one after the other."""

    name: Name | None = None
    input: Input
    layers: Layers
    loss: Literal["cross_entropy", "cross_entropy_channels", "mse"] = Field(
        default="cross_entropy",
        description="one class for each vector of the last dimension, or of the channels (an image of classes); "
        "or the mean squared distance from numbers of the same shape",
    )

    def follow(self) -> Followed:
        """What one sample goes through.

        Raises:
            DescriptionError: a layer does not fit to the one before it, or it is more than a forecast takes.
        """
        done = follow(self.layers, Signal(shape=self.input.shape, whole=self.input.dtype == "int64"))
        if done.signal.whole or not done.parameters:
            raise DescriptionError("layers: none has parameters, so there is nothing to train; add one that has")
        return done


class KnownModel(Strict):
    """A network that crowdrun brings along, by its name."""

    architecture: Name = Field(examples=["resnet-50"])
    options: Annotated[dict[Name, Option], Field(max_length=20)] = Field(
        default={}, description="as in the [options] of a job file", examples=[{"side": 128}]
    )


def _kind(value: Any) -> str:
    known = "architecture" in value if isinstance(value, Mapping) else isinstance(value, KnownModel)
    return "known" if known else "described"


#: One or the other.
AnyModel = Annotated[
    Annotated[ModelDescription, Tag("described")] | Annotated[KnownModel, Tag("known")], Discriminator(_kind)
]
_ADAPTER: TypeAdapter[ModelDescription | KnownModel] = TypeAdapter(AnyModel)


def described(content: Any) -> ModelDescription | KnownModel:
    """The model in what `json.loads` gave, checked.

    Raises:
        DescriptionError: it is none; says where, what came and what is allowed.
    """
    if not isinstance(content, Mapping):
        raise DescriptionError('a description is a JSON object with "input" and "layers", or with "architecture"')
    try:
        model = _ADAPTER.validate_python(content)
    except ValidationError as error:
        raise DescriptionError(complaint(error)) from error
    if isinstance(model, ModelDescription):
        model.follow()
    return model
