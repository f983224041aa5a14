"""Ranks as a rectangle: groups of neighbours, and those with the same place in each group."""

import os

from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from crowdrun.data.errors import ConfigError
from crowdrun.training.ranks import Ranks


def group_size(asked: int | None, ranks: Ranks, name: str) -> int:
    """How many neighbours make a group: as asked, else those of a node, else half of all.

    Raises:
        ConfigError: the ranks cannot be divided like that.
    """
    on_node = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.world_size))
    own = on_node if on_node < ranks.world_size else max(1, ranks.world_size // 2)
    size = own if asked is None else asked
    if size < 1 or ranks.world_size % size:
        raise ConfigError(
            f"{ranks.world_size} ranks cannot be divided into groups of {size}; take a {name} that divides them"
        )
    return size


def two_levels(ranks: Ranks, *, inside: int) -> DeviceMesh:
    """A mesh of groups (`across`) by neighbours (`inside`)."""
    shape = (ranks.world_size // inside, inside)
    return init_device_mesh(ranks.device.type, shape, mesh_dim_names=("across", "inside"))
