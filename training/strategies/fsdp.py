"""Weights, gradients and the optimiser's state in shards (FSDP2)."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from crowdrun.training.strategies.base import GradientStrategy, Setup
from crowdrun.training.strategies.mesh import group_size, two_levels
from crowdrun.training.strategies.whole_state import whole_state


class Fsdp(GradientStrategy):
    """Each rank keeps a part of every weight and gathers a layer for its turn (Zhao et al., "PyTorch FSDP", 2023)."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.replica = setup.model()
        mesh = self.mesh()
        for layer in layers_of(self.replica):
            fully_shard(layer, mesh=mesh)
        fully_shard(self.replica, mesh=mesh)
        self.optimizer = setup.task.optimizer(self.replica, setup.options)

    def mesh(self) -> DeviceMesh:
        """Over which ranks the shards lie."""
        return init_device_mesh(self.setup.ranks.device.type, (self.setup.ranks.world_size,))

    def weights(self) -> dict[str, Tensor]:
        return whole_state(self.replica)


class Hsdp(Fsdp):
    """Shards inside a group of ranks, copies of it across: little has to leave a node."""

    def mesh(self) -> DeviceMesh:
        inside = group_size(self.settings.shard_ranks, self.setup.ranks, "shard_ranks")
        return two_levels(self.setup.ranks, inside=inside)


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at once: the parts of a sequence at the top, or of lists of modules below it.

    >>> [type(layer).__name__ for layer in layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))]
    ['Linear', 'Linear']
    """
    parts = model.children() if isinstance(model, nn.Sequential | nn.ModuleList) else iter(())
    yield from (part for part in parts if any(True for _ in part.parameters()))
    if not isinstance(model, nn.Sequential):
        for child in model.children():
            if isinstance(child, nn.ModuleList):
                yield from layers_of(child)
