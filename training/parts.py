"""Parts of a batch, as torch's default collate makes it.

>>> import torch
>>> batch = {"x": torch.arange(5), "name": ["a", "b", "c", "d", "e"]}
>>> [(cut(batch, start, size)["x"].tolist(), weight) for start, size, weight in parts(5, 2)]
[([0, 1], 0.4), ([2, 3, 4], 0.6)]
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def tensors_in(batch: Any) -> Iterator[Tensor]:
    """The tensors of a batch."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, dict | list | tuple):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from tensors_in(part)


def samples_in(batch: Any) -> int:
    """How many samples a batch has."""
    return len(next(tensors_in(batch)))


def cut(batch: Any, start: int, size: int) -> Any:
    """So many samples of a batch."""
    if isinstance(batch, dict):
        return {key: cut(value, start, size) for key, value in batch.items()}
    if isinstance(batch, list | tuple) and any(True for _ in tensors_in(batch)):
        return [cut(value, start, size) for value in batch]
    return batch[start : start + size]


def parts(size: int, count: int) -> Iterator[tuple[int, int, float]]:
    """Where each of `count` parts of `size` samples begins, how many it has, and its weight in their mean.

    With fewer samples than parts, some are the first sample again, at weight 0.

    >>> list(parts(1, 2))
    [(0, 1, 0.0), (0, 1, 1.0)]
    """
    for number in range(count):
        start, end = size * number // count, size * (number + 1) // count
        yield (start, end - start, (end - start) / size) if end > start else (0, 1, 0.0)
