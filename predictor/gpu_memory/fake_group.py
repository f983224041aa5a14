"""One rank of a process group that moves nothing, so that torch's own distributed code runs in one process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from crowdrun.data.errors import ForecastError


@contextmanager
def fake_group(*, rank: int, world_size: int, strategy: str) -> Iterator[None]:
    """This process is that rank for as long as the context lasts.

    Raises:
        ForecastError: it is a rank of a real group.
    """
    if dist.is_initialized():
        raise ForecastError(
            f"this process is already one rank of a group; forecast {strategy} from a process of its own"
        )
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()
