"""Parameter servers: each rank keeps a part of the parameters, takes gradients for it, and hands out what is current.

Dean et al., "Large scale distributed deep networks" (Downpour SGD), 2012; Ho et al., "More effective distributed ML via
a stale synchronous parallel parameter server", 2013; Li et al., "Scaling distributed machine learning with the
parameter server", 2014. Each rank is a worker and, in a thread, the server of one part; what they say to each
other goes point to point.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from crowdrun.data.errors import ConfigError
from crowdrun.training.batches import Share
from crowdrun.training.strategies.base import Setup, Strategy
from crowdrun.training.strategies.flat import fill, flattened, flattened_gradients
from crowdrun.training.strategies.server_mail import Mail
from crowdrun.training.strategies.server_shard import Shard


class Server(Strategy):
    """One worker with the server of its part. The optimiser works on vectors: it must treat each number by itself."""

    synchronous = False

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        if setup.ranks.device.type == "cuda":
            raise ConfigError("the strategy server speaks gloo, on CPUs; hide the GPUs from it (gpus = 0), or take ddp")
        self.model = setup.model()
        whole, ranks = flattened(self.model), setup.ranks
        self._length = len(whole)
        size = -(-len(whole) // ranks.world_size)
        self._padding = size * ranks.world_size - len(whole)
        own = torch.nn.functional.pad(whole, (0, self._padding))[ranks.rank * size : (ranks.rank + 1) * size]
        shard = Shard(own.clone(), setup, settings)
        self.optimizer = shard.optimizer
        self._shard = shard
        self._mail = Mail(shard, size=size, like=whole, rank=ranks.rank, world_size=ranks.world_size)
        self._clock = 0

    def step(self, share: Share) -> float:
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        with self.setup.precision():
            loss = self.setup.task.loss(self.model, share.batch)
        torch.autograd.backward(loss * (share.samples / share.together))
        gradients = torch.nn.functional.pad(flattened_gradients(self.model), (0, self._padding))
        self._clock += 1
        fill(self.model, self._mail.push(self._clock, gradients)[: self._length])
        return loss.item()

    def end_epoch(self) -> None:
        # All took as many steps: all gradients are in before anyone takes what the servers have then.
        dist.barrier()
        fill(self.model, self._mail.pull()[: self._length])
        dist.barrier()

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def whole_model(self) -> nn.Module:
        return self.model

    def report(self) -> Mapping[str, float | str]:
        return {"largest_clock_gap": self._shard.largest_gap}

    def close(self) -> None:
        self._mail.close()
