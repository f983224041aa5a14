"""torch's PowerSGD, one bucket at a time: with two under way its callbacks wait for each other in gloo's threads."""

import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.futures import Future

from crowdrun.training.strategies.hooks.done import done


def power_sgd_hook(state: PowerSGDState, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
    """For `register_comm_hook`."""
    return done(powerSGD_hook(state, bucket).wait())
