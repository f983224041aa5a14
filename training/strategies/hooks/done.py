"""A communication hook that has finished when it returns."""

import torch
from torch import Tensor
from torch.futures import Future


def done(result: Tensor) -> Future[Tensor]:
    """What DistributedDataParallel wants of a hook: here nothing is left to wait for."""
    future: Future[Tensor] = torch.futures.Future()
    future.set_result(result)
    return future
