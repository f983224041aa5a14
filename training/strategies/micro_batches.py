"""Parts of a batch that are under way at once."""

from typing import Any

import torch

from crowdrun.training.batches import Share, moved
from crowdrun.training.parts import cut, samples_in
from crowdrun.training.strategies.base import Setup


def parts_of(share: Share, wanted: int, *, most: int | None) -> list[Any]:
    """Equal parts of a share's batch: as many as wanted or the next smaller number that divides it, or more where a
    part would have more than `most` samples."""
    size = samples_in(share.batch)
    dividing = [number for number in range(1, size + 1) if size % number == 0]
    count = max(number for number in dividing if number <= wanted)
    if most:
        count = next(number for number in dividing if number >= count and size // number <= most)
    return [cut(share.batch, start, size // count) for start in range(0, size, size // count)]


def to_device(batch: Any, setup: Setup) -> Any:
    """A batch on the rank's device, in the numbers of the options."""
    return moved(batch, setup.ranks.device, torch.float64 if setup.options.precision == "fp64" else None)
