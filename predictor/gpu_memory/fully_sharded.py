"""FSDP (`fully_shard`) at any world size in one process: torch's own code, on a process group that moves nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.fsdp._fully_shard import _fsdp_param
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._sharding_prop import ShardingPropagator
from torch.nn import Module
from torch.utils._python_dispatch import _disable_current_modes

from crowdrun.data.recompute import repeated_blocks
from crowdrun.predictor.gpu_memory.fake_group import fake_group
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.sharding import Sharding
from crowdrun.predictor.gpu_memory.timeline import KIND

#: Where DTensor asks a FakeTensorMode of its own for shapes, which are none of the program's memory.
_META = "_propagate_tensor_meta_non_cached"


class FullySharded(Sharding):
    """Each repeated block is sharded by itself, and what is left with the model: parameters, gradients and state."""

    @contextmanager
    def running(self) -> Iterator[None]:
        settings = self.settings
        with fake_group(rank=settings.place, world_size=settings.world_size, strategy=settings.strategy):
            self._mesh = init_device_mesh("cpu", (settings.world_size,))
            self.trace.specials |= {
                "fsdp::all_gather_copy_in": _copy_in,
                **{f"c10d::{name}": self._collective for name in _COLLECTIVES},
            }
            with (
                mock.patch.object(_fsdp_param, "alloc_storage", self._alloc),
                mock.patch.object(_fsdp_param, "free_storage", self.trace.give_up),
                mock.patch.object(ShardingPropagator, _META, _unseen(getattr(ShardingPropagator, _META))),
            ):
                yield

    def place(self, model: Module, program: Program) -> Module:
        del program
        for block in repeated_blocks(model):
            fully_shard(block, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh)
        return model

    def local(self, tensor: Tensor) -> Tensor:
        return tensor._local_tensor if isinstance(tensor, DTensor) else tensor

    def _alloc(self, tensor: Tensor) -> None:
        """A parameter that was gathered from all ranks: in torch its storage is resized."""
        number = self.trace.take_again(tensor)
        if number is not None:
            self.trace.timeline.kind[number] = KIND["parameters"]

    def _collective(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Nothing is moved; the handle to wait for is that of a collective on a few bytes."""
        size = self.settings.world_size
        whole, part = torch.zeros(size), torch.zeros(1)
        small = [
            _small(value, whole if place == _COLLECTIVES[func._schema.name[6:]] else part)
            for place, value in enumerate(args)
        ]
        result = func(*small, **kwargs)
        return (args[0], result[1]) if isinstance(result, tuple) else result


#: Collective -> the place of the argument that has the parts of all ranks, where only one has.
_COLLECTIVES: Mapping[str, int] = {
    "allreduce_": -1, "broadcast_": -1, "_allgather_base_": 0, "_reduce_scatter_base_": 1
}  # fmt: skip


def _unseen(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return call


def _small(value: Any, tensor: Tensor) -> Any:
    if isinstance(value, Tensor):
        return tensor
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [tensor] * len(value)
    return value


def _copy_in(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Of the gathered tensor, this rank's part, to which its inputs would be copied."""
    del func, kwargs
    _, gathered, _, elements, rank = args
    return gathered.narrow(0, elements * rank, elements), gathered
