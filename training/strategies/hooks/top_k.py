"""Top-k: only the largest gradients are sent, and the others are added to the next ones.

Aji and Heafield, "Sparse communication for distributed gradient descent", 2017; Stich, Cordonnier and Jaggi,
"Sparsified SGD with memory", 2018.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from crowdrun.training.strategies.hooks.done import done


class TopK:
    """What was not sent yet, for each bucket of gradients."""

    def __init__(self, world_size: int, share: float) -> None:
        self.world_size, self.share = world_size, share
        self.left: dict[int, Tensor] = {}

    def reduce(self, number: int, gradients: Tensor) -> Tensor:
        """The mean over the ranks of the largest of (n,) gradients, 0 elsewhere."""
        left = self.left.get(number)
        # DDP arranges its buckets anew after the first step.
        wanted = gradients + left if left is not None and left.shape == gradients.shape else gradients.clone()
        count = max(1, round(self.share * len(wanted)))
        places = wanted.abs().topk(count).indices
        values = wanted[places]
        self.left[number] = wanted.index_fill(0, places, 0.0)
        all_places = [torch.empty_like(places, dtype=torch.int32) for _ in range(self.world_size)]
        all_values = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(all_places, places.int())
        dist.all_gather(all_values, values)
        total = torch.zeros_like(gradients)
        return total.index_add_(0, torch.cat(all_places).long(), torch.cat(all_values) / self.world_size)


def top_k_hook(state: TopK, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
    """For `register_comm_hook`."""
    return done(state.reduce(bucket.index(), bucket.buffer()))
