"""How samples are divided among the ranks: each global batch is, and its size does not change with their number.

>>> divide(range(5), batch_size=4, rank=1, world_size=2)
[([1, 3], 4), ([], 1)]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from crowdrun.data.task import TrainingOptions
from crowdrun.training.datasets.base import InMemory
from crowdrun.training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Share:
    """This rank's part of a global batch, on its device."""

    batch: Any
    #: Of them, that are this rank's own; 0 where the batch is only there to keep step.
    samples: int
    #: Samples of all ranks in this step.
    together: int


def divide(order: Sequence[int], *, batch_size: int, rank: int, world_size: int) -> list[tuple[list[int], int]]:
    """For each global batch, every world_size-th sample of it, and how many it has."""
    batches = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return [(list(batch[rank::world_size]), len(batch)) for batch in batches]


def train_shares(
    samples: Dataset[Any], options: TrainingOptions, ranks: Ranks, *, epoch: int, start: int = 0
) -> Iterator[Share]:
    """The shares of an epoch from step `start` on; seed and epoch give the order. Over all ranks each sample comes
    exactly once.

    A rank that is left without a sample, in a last batch of fewer than there are ranks, gets one of another's to keep
    step with it: its share then has 0 samples.
    """
    batches = DIVISIONS[options.division](samples, options, ranks, epoch)
    filled = [(share or [0], len(share), together) for share, together in batches]
    return _shares(samples, filled[start:], options, ranks)


def evaluation_shares(samples: Dataset[Any], options: TrainingOptions, ranks: Ranks) -> Iterator[Share]:
    """Each sample once, over all ranks together; a rank may get no share of the last batch."""
    divided = divide(range(_size(samples)), batch_size=options.batch_size, rank=ranks.rank, world_size=ranks.world_size)
    return _shares(samples, [(share, len(share), together) for share, together in divided if share], options, ranks)


def private_shares(
    samples: Dataset[Any], options: TrainingOptions, ranks: Ranks, *, epoch: int, parts: Sequence[float], start: int = 0
) -> Iterator[Share]:
    """Batches of the samples that this rank keeps for itself: a part of the set in proportion to `parts`.

    Ranks have different numbers of them. A batch is as large as a rank's share of the global one.
    """
    ends = [round(_size(samples) * sum(parts[: rank + 1]) / sum(parts)) for rank in range(ranks.world_size)]
    own = range(ends[ranks.rank - 1] if ranks.rank else 0, ends[ranks.rank])
    order = _order(samples, own, options, epoch)
    size = max(1, options.batch_size // ranks.world_size)
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return _shares(samples, [(batch, len(batch), len(batch)) for batch in batches[start:]], options, ranks)


def _shuffled(samples: Dataset[Any], options: TrainingOptions, ranks: Ranks, epoch: int) -> list[tuple[list[int], int]]:
    """All samples in a new order each epoch, each global batch divided: the same ones with any number of ranks."""
    order = _order(samples, range(_size(samples)), options, epoch)
    return divide(order, batch_size=options.batch_size, rank=ranks.rank, world_size=ranks.world_size)


def _non_overlapping(
    samples: Dataset[Any], options: TrainingOptions, ranks: Ranks, epoch: int
) -> list[tuple[list[int], int]]:
    """Each rank keeps to its own part of the samples, in a new order each epoch: it need not have the others.

    The epoch has as many steps as there are global batches; each takes an equal part of every rank's samples.
    """
    size = _size(samples)
    steps = -(-size // options.batch_size)
    mine = _part(range(size), ranks.rank, ranks.world_size)
    order = _order(samples, mine, options, epoch)
    lengths = [len(_part(range(size), rank, ranks.world_size)) for rank in range(ranks.world_size)]
    return [
        (list(_part(order, step, steps)), sum(len(_part(range(length), step, steps)) for length in lengths))
        for step in range(steps)
    ]


#: How the samples of an epoch are divided over the ranks.
DIVISIONS: Mapping[str, Callable[[Dataset[Any], TrainingOptions, Ranks, int], list[tuple[list[int], int]]]] = {
    "shuffled": _shuffled,
    "non-overlapping": _non_overlapping,
}


def _part(values: Sequence[int], number: int, of: int) -> Sequence[int]:
    """
    >>> [list(_part(range(7), number, 3)) for number in range(3)]
    [[0, 1], [2, 3], [4, 5, 6]]
    """
    return values[len(values) * number // of : len(values) * (number + 1) // of]


def _order(samples: Dataset[Any], indices: Sequence[int], options: TrainingOptions, epoch: int) -> list[int]:
    """The samples `indices` of an epoch in a random order; that of the data set itself (its `order`) where it has one,
    since not all can be read in any order at the same cost."""
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
    own = getattr(samples, "order", None)
    if own is not None:
        return [int(index) for index in own(indices, generator)]
    return [indices[place] for place in torch.randperm(len(indices), generator=generator).tolist()]


def _shares(
    samples: Dataset[Any], divided: Sequence[tuple[list[int], int, int]], options: TrainingOptions, ranks: Ranks
) -> Iterator[Share]:
    floating = torch.float64 if options.precision == "fp64" else None
    batches = _batches(samples, [share for share, _, _ in divided], pinned=ranks.device.type == "cuda")
    for (_, own, together), batch in zip(divided, batches, strict=True):
        yield Share(batch=moved(batch, ranks.device, floating), samples=own, together=together)


def _batches(samples: Dataset[Any], shares: Sequence[list[int]], *, pinned: bool) -> Iterable[Any]:
    """What torch's data loader makes of the samples; of rows of tensors the same, without a sample at a time."""
    if type(samples) in (InMemory, TensorDataset):
        return (_rows(cast("InMemory | TensorDataset", samples).tensors, share, pinned=pinned) for share in shares)
    # With a generator of its own: else it draws from torch's, once an epoch and once more when one is taken up again.
    return DataLoader(samples, batch_sampler=shares, pin_memory=pinned, generator=torch.Generator())


def _rows(tensors: Sequence[Tensor], share: list[int], *, pinned: bool) -> list[Tensor]:
    index = torch.tensor(share)
    rows = [tensor.index_select(0, index.to(tensor.device)) for tensor in tensors]
    return [row.pin_memory() for row in rows] if pinned else rows


def _size(samples: Dataset[Any]) -> int:
    return len(cast("Sequence[Any]", samples))


def moved(batch: Any, device: torch.device, floating: torch.dtype | None) -> Any:
    """A batch on a device: what torch's default collate makes, its real numbers as `floating` where that is given."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, floating if batch.is_floating_point() else None, non_blocking=True)
    if isinstance(batch, dict):
        return {key: moved(value, device, floating) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [moved(value, device, floating) for value in batch]
    return batch
