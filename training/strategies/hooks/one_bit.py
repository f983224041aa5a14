"""1-bit SGD: each gradient is sent as its sign, and what that leaves out is added to the next one.

Seide, Fu, Droppo, Li and Yu, "1-bit stochastic gradient descent and its application to data-parallel distributed
training of speech DNNs", 2014: each rank adds up one part of the gradients and sends the sum, again as signs, to
the others; both times the error is kept (error feedback). So 2 (n - 1) / n bits a gradient and
rank are sent where a ring sends as many floats, at any number of ranks.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from crowdrun.training.strategies.hooks.bits import pack, unpack
from crowdrun.training.strategies.hooks.done import done


class OneBit:
    """What is left out, for each bucket of gradients."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.own: dict[int, Tensor] = {}
        self.part: dict[int, Tensor] = {}

    def reduce(self, number: int, gradients: Tensor) -> Tensor:
        """The mean over the ranks of (n,) gradients, as far as signs can tell it."""
        padded = -len(gradients) % (8 * self.world_size)
        sent = torch.nn.functional.pad(gradients, (0, padded))
        sent = sent + _kept(self.own, number, sent)
        parts = sent.view(self.world_size, -1)
        scales = parts.abs().mean(1)
        self.own[number] = (parts - scales.unsqueeze(1) * unpack(pack(parts), parts.dtype)).flatten()
        mine = self._exchanged(parts, scales)
        mine = mine + _kept(self.part, number, mine)
        scale = mine.abs().mean()
        self.part[number] = mine - scale * unpack(pack(mine), mine.dtype)
        return self._gathered(mine, scale)[: len(gradients)]

    def _exchanged(self, parts: Tensor, scales: Tensor) -> Tensor:
        """The mean of everyone's signs for this rank's part."""
        signs, theirs = pack(parts), torch.empty_like(scales)
        received = torch.empty_like(signs)
        dist.all_to_all_single(received, signs)
        dist.all_to_all_single(theirs, scales)
        return (theirs.unsqueeze(1) * unpack(received, parts.dtype)).mean(0)

    def _gathered(self, mine: Tensor, scale: Tensor) -> Tensor:
        signs = pack(mine)
        received = [torch.empty_like(signs) for _ in range(self.world_size)]
        scales = [torch.empty_like(scale) for _ in range(self.world_size)]
        dist.all_gather(received, signs)
        dist.all_gather(scales, scale)
        return torch.cat([one * unpack(bits, mine.dtype) for one, bits in zip(scales, received, strict=True)])


def _kept(errors: dict[int, Tensor], number: int, like: Tensor) -> Tensor:
    """The error of a bucket; nothing where DDP has arranged its buckets anew since, as it does after the first step."""
    kept = errors.get(number)
    return kept if kept is not None and kept.shape == like.shape else torch.zeros_like(like)


def one_bit_hook(state: OneBit, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
    """For `register_comm_hook`."""
    return done(state.reduce(bucket.index(), bucket.buffer()))
