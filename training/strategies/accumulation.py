"""A step in micro-batches: gradients add up over the parts of a share, so that less memory is needed at once."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from crowdrun.training.batches import Share
from crowdrun.training.parts import cut, parts, samples_in


def backward(
    loss_of: Callable[[Any], Tensor],
    share: Share,
    *,
    weight: float,
    micro_batch: int | None,
    largest: int | None = None,
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> float:
    """Forward and back on a share, at most `micro_batch` samples at once; its mean loss.

    loss_of: the mean loss of a batch. weight: of the share's. largest: samples of the largest share of this step, where
    ranks must go forward equally often. quiet: around all parts but the last, to send no gradients.
    """
    size = samples_in(share.batch)
    count = -(-(largest or size) // micro_batch) if micro_batch else 1
    total = 0.0
    for number, (start, length, part_weight) in enumerate(parts(size, count)):
        with quiet() if number + 1 < count else nullcontext():
            loss = loss_of(share.batch if count == 1 else cut(share.batch, start, length))
            torch.autograd.backward(loss if weight * part_weight == 1 else loss * (weight * part_weight))
        total += loss.item() * part_weight
    return total
