"""Where a sequence of layers may be cut into stages, and where it is, such that the costliest stage costs least.

>>> balanced([1.0, 1.0, 1.0, 5.0, 1.0, 1.0], 3)
[0, 3, 4, 6]
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain

from torch import Tensor
from torch.nn import Module, Sequential

from crowdrun.data.errors import ConfigError

#: Layers by their names in the model.
Unit = list[tuple[str, Module]]


def units_of(model: Module, stages: int) -> list[Unit]:
    """What is never cut: a layer with parameters, and those without that follow it (or lead to the first).

    Raises:
        ConfigError: the model is no sequence, two layers share a parameter, or it has fewer units than stages.
    """
    if not isinstance(model, Sequential):
        raise ConfigError(
            f"a pipeline needs a model that is an nn.Sequential, not {type(model).__name__}; take another strategy"
        )
    each = [id(parameter) for layer in model.children() for parameter in set(layer.parameters())]
    if len(each) != len(set(each)):
        raise ConfigError("two layers of the model share a parameter, which a pipeline cannot divide")
    units: list[Unit] = [[]]
    filled = False
    for name, layer in model.named_children():
        has_parameters = any(True for _ in layer.parameters())
        if has_parameters and filled:
            units.append([])
        filled = filled or has_parameters
        units[-1].append((name, layer))
    if len(units) < stages:
        raise ConfigError(
            f"the model has {len(units)} layers with parameters, too few for {stages} stages of a pipeline; "
            "take fewer ranks"
        )
    return units


class Stage(Sequential):
    """Layers one after the other; what they give out is no view of something else (as `Flatten` makes it), which the
    zero-bubble schedule could not detach in place (torch/distributed/pipelining/_backward.py)."""

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
        return out.clone() if out._is_view() else out


def stage_of(units: Sequence[Unit]) -> Stage:
    """Units as one module, whose layers keep their names."""
    return Stage(OrderedDict(chain.from_iterable(units)))


def balanced(costs: Sequence[float], stages: int) -> list[int]:
    """The first layer of each stage, and the number of layers: no stage is empty.

    The least cost of the costliest stage is found by halving the interval in which it lies; a stage is filled as far
    as that cost allows.
    """
    low, high = max(costs), sum(costs)
    cuts = _filled(costs, stages, high)
    for _ in range(60):
        middle = (low + high) / 2
        found = _filled(costs, stages, middle)
        if found[-1] == len(costs):
            cuts, high = found, middle
        else:
            low = middle
    return cuts


def _filled(costs: Sequence[float], stages: int, most: float) -> list[int]:
    """Cuts with no stage above `most`; the last cut is below the number of layers where that cannot be done."""
    cuts, layer = [0], 0
    for left in range(stages - 1, -1, -1):
        total = 0.0
        # One layer is left for each stage that follows.
        while layer < len(costs) - left and (total == 0.0 or total + costs[layer] <= most):
            total += costs[layer]
            layer += 1
        cuts.append(layer)
    return cuts
