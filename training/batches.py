"""How samples are divided among the ranks: each global batch is, and its size does not change with their number.

>>> divide(range(5), batch_size=4, rank=1, world_size=2)
[([1, 3], 4), ([], 1)]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from crowdrun.data.task import TrainingOptions
from crowdrun.training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Share:
    """This rank's part of a global batch, on its device."""

    batch: Any
    samples: int
    #: Samples of all ranks in this step.
    together: int


def divide(order: Sequence[int], *, batch_size: int, rank: int, world_size: int) -> list[tuple[list[int], int]]:
    """For each global batch, every world_size-th sample of it, and how many it has."""
    batches = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return [(list(batch[rank::world_size]), len(batch)) for batch in batches]


def train_shares(samples: Dataset[Any], options: TrainingOptions, ranks: Ranks, *, epoch: int) -> Iterator[Share]:
    """The shares of a shuffled epoch; seed and epoch give the order.

    Each sample comes once, but for a last batch with fewer samples than there are ranks, which is left out.
    """
    size = _size(samples)
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
    order = torch.randperm(size, generator=generator).tolist()
    rest = size % options.batch_size
    return _shares(samples, order[: size - rest] if rest < ranks.world_size else order, options, ranks)


def evaluation_shares(samples: Dataset[Any], options: TrainingOptions, ranks: Ranks) -> Iterator[Share]:
    """Each sample once, over all ranks together; a rank may get no share of the last batch."""
    return _shares(samples, range(_size(samples)), options, ranks)


def _shares(samples: Dataset[Any], order: Sequence[int], options: TrainingOptions, ranks: Ranks) -> Iterator[Share]:
    divided = divide(order, batch_size=options.batch_size, rank=ranks.rank, world_size=ranks.world_size)
    filled = [(share, together) for share, together in divided if share]
    cuda = ranks.device.type == "cuda"
    floating = torch.float64 if options.precision == "fp64" else None
    loader = DataLoader(samples, batch_sampler=[share for share, _ in filled], pin_memory=cuda)
    for (share, together), batch in zip(filled, loader, strict=True):
        yield Share(batch=_to(batch, ranks.device, floating), samples=len(share), together=together)


def _size(samples: Dataset[Any]) -> int:
    return len(cast("Sequence[Any]", samples))


def _to(batch: Any, device: torch.device, floating: torch.dtype | None) -> Any:
    """Moves what torch's default collate makes: tensors in lists, tuples, dictionaries; real numbers as `floating`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, floating if batch.is_floating_point() else None, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _to(value, device, floating) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [_to(value, device, floating) for value in batch]
    return batch
