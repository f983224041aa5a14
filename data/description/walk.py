"""Follows one sample through the layers: shapes, counts and limits, without torch.

A repeated part that gives back the shape that it takes is followed once and counted `times` times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crowdrun.data.description.base import Layer, Signal, UnfitError
from crowdrun.data.description.blocks import Repeat, Residual, TransformerBlock
from crowdrun.data.errors import DescriptionError

#: Layers as built, and layers within layers.
MOST_LAYERS, MOST_DEPTH = 20_000, 8
#: Elements of all parameters, and of what one layer makes of one sample.
MOST_PARAMETERS, MOST_ELEMENTS = 10**12, 1 << 34


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What came of it."""

    signal: Signal
    #: As built: a layer that is repeated counts each time.
    layers: int = 0
    parameters: int = 0

    def then(self, other: "Followed", times: int = 1) -> "Followed":
        """With what followed it, so many times."""
        return Followed(
            signal=other.signal,
            layers=self.layers + times * other.layers,
            parameters=self.parameters + times * other.parameters,
        )


def follow(layers: Sequence[Layer], given: Signal, place: str = "layers", depth: int = 1) -> Followed:
    """The layers one after the other.

    Raises:
        DescriptionError: one does not fit to the one before it, or there is more than a forecast takes; says where.
    """
    if depth > MOST_DEPTH:
        raise DescriptionError(f"{place} lies {depth} deep; layers may lie in layers {MOST_DEPTH} deep at most")
    done = Followed(signal=given)
    for number, layer in enumerate(layers):
        here = f"{place}[{number}]"
        done = done.then(_one(layer, done.signal, here, depth))
        _limits(done, here)
    return done


def _one(layer: Layer, given: Signal, here: str, depth: int) -> Followed:
    try:
        if isinstance(layer, Repeat):
            return _repeated(layer, given, here, depth)
        if isinstance(layer, Residual):
            return _residual(layer, given, here, depth)
        if isinstance(layer, TransformerBlock):
            layer.after(given)
            return follow(layer.parts(given), given, here, depth)
        return Followed(signal=layer.after(given), layers=1, parameters=layer.weights(given))
    except UnfitError as error:
        raise DescriptionError(f"{here}, {getattr(layer, 'kind', '')}: {error}") from error


def _repeated(layer: Repeat, given: Signal, here: str, depth: int) -> Followed:
    done = Followed(signal=given)
    for number in range(layer.times):
        once = follow(layer.layers, done.signal, f"{here}.layers", depth + 1)
        if once.signal == done.signal:
            return done.then(once, layer.times - number)
        done = done.then(once)
        _limits(done, here)
    return done


def _residual(layer: Residual, given: Signal, here: str, depth: int) -> Followed:
    body = follow(layer.layers, given, f"{here}.layers", depth + 1)
    beside = follow(layer.beside, given, f"{here}.beside", depth + 1)
    if body.signal != beside.signal:
        raise UnfitError(
            f"its layers give {body.signal.text} and what is beside them {beside.signal.text}; to be added, they must "
            "be alike"
        )
    return body.then(beside)


def _limits(done: Followed, here: str) -> None:
    for count, most, what in (
        (done.layers, MOST_LAYERS, "layers"),
        (done.parameters, MOST_PARAMETERS, "parameters"),
        (done.signal.elements, MOST_ELEMENTS, "numbers a sample after that layer"),
    ):
        if count > most:
            raise DescriptionError(f"up to {here} the model has {count:,} {what}; {most:,} is the most")
