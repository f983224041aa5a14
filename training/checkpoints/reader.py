"""Reads a checkpoint into a strategy, with as many ranks as wrote it or another number."""

import io
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from crowdrun.data.errors import CheckpointError
from crowdrun.training.checkpoints.folder import Marker
from crowdrun.training.checkpoints.saver import own_key
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import Strategy


def read_checkpoint(
    folder: Path, marker: Marker, strategy: Strategy, ranks: Ranks, group: dist.ProcessGroup | None
) -> dict[str, Any]:
    """Fill the strategy; what only this rank knew, or with another number of ranks one that stood in its place.

    Raises:
        CheckpointError: it does not fit the model, or is damaged.
    """
    source = ranks.rank % marker.world_size
    prefix = weights_prefix(strategy, source)
    try:
        entries = FileSystemReader(folder).read_metadata().state_dict_metadata
        kept = {
            name.removeprefix(prefix): torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
            for name, entry in entries.items()
            if name.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
        }
        wanted = strategy.template(kept)
        template: dict[str, Any] = {f"{prefix}{name}": value for name, value in wanted.items()}
        template[own_key(source)] = b""
        load(template, checkpoint_id=folder, process_group=group, no_dist=group is None)
    except (CheckpointException, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(
            f"{folder} cannot be read: {str(error).splitlines()[0]}; remove the folder to go on from an earlier one"
        ) from error
    strategy.load_state(
        {name.removeprefix(prefix): value for name, value in template.items() if name.startswith(prefix)}
    )
    # Optimiser groups, numpy's and Python's random numbers and a hook's state are no tensors. It opens no door: torch's
    # distributed checkpoints unpickle their own metadata a few lines above, so a run's folder is trusted as a whole.
    found: dict[str, Any] = torch.load(io.BytesIO(template[own_key(source)]), weights_only=False)
    return found


def weights_prefix(strategy: Strategy, rank: int) -> str:
    """Of the names of a strategy's tensors, where each rank has weights of its own."""
    return f"rank{rank}." if strategy.own_weights else ""
