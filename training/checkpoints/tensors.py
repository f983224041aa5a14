"""The tensors of a training under names of the whole model, whoever holds them.

    model.0.weight                      a parameter, whole or in shards (DTensor)
    buffer.1.running_mean               a buffer
    optimizer.0.weight.exp_avg          what the optimiser keeps for a parameter

A rank names what it holds. So any number of ranks, and any strategy that keeps to these names, can read what others
wrote: torch's distributed checkpoints put the parts together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a rank holds of the model, under the names of the whole, and the optimiser of it."""

    parameters: Mapping[str, nn.Parameter]
    buffers: Mapping[str, Tensor]
    #: Steps these parameters, or some of them.
    optimizer: Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """All of them: not copies."""
        found = self._model()
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    found[f"optimizer.{name}.{key}"] = value.detach()
        return found

    def template(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors to be filled from a checkpoint that holds `kept` (without values): the model's own, and new ones for
        the optimiser."""
        stepped = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        own = {name: value for name, value in self.parameters.items() if id(value) in stepped}
        return {**self._model(), **{full: _like(own[name], key, kept[full]) for name, key, full in _states(own, kept)}}

    def load(self, filled: Mapping[str, Tensor]) -> None:
        """Take what was read into a template; the model has been filled in place."""
        self.optimizer.state.clear()
        on_device = {id(p) for g in self.optimizer.param_groups if _counts_on_device(g) for p in g["params"]}
        for name, key, full in _states(self.parameters, filled):
            parameter, value = self.parameters[name], filled[full]
            moves = key == "step" and id(parameter) in on_device
            self.optimizer.state[parameter][key] = value.to(parameter.device) if moves else value

    def _model(self) -> dict[str, Tensor]:
        return {f"model.{name}": value.detach() for name, value in self.parameters.items()} | {
            f"buffer.{name}": value for name, value in self.buffers.items()
        }


def held(module: nn.Module, optimizer: Optimizer) -> Held:
    """A module whose names are those of the whole model."""
    return Held(parameters=dict(module.named_parameters()), buffers=dict(module.named_buffers()), optimizer=optimizer)


def _states(parameters: Mapping[str, nn.Parameter], kept: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str]]:
    """Parameter, what is kept for it, and the full name of that."""
    for full in kept:
        name, _, key = full.removeprefix("optimizer.").rpartition(".")
        if full.startswith("optimizer.") and name in parameters:
            yield name, key, full


def _like(parameter: nn.Parameter, key: str, kept: Tensor) -> Tensor:
    """In shards and on the device of the parameter where it has its shape; torch counts steps on the CPU."""
    if key != "step" and kept.shape == parameter.shape:
        return torch.zeros_like(parameter, dtype=kept.dtype, requires_grad=False)
    return torch.zeros(kept.shape, dtype=kept.dtype, device="cpu" if kept.dim() == 0 else parameter.device)


def _counts_on_device(group: Mapping[str, object]) -> bool:
    return bool(group.get("capturable") or group.get("fused"))
