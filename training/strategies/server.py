"""Parameter servers: each rank keeps a part of the parameters, takes gradients for it, and hands out what is current.

Dean et al., "Large scale distributed deep networks" (Downpour SGD), 2012; Ho et al., "More effective distributed ML via
a stale synchronous parallel parameter server", 2013; Li et al., "Scaling distributed machine learning with the
parameter server", 2014. Each rank is a worker and, in a thread, the server of one part; what they say to each
other goes point to point.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from crowdrun.data.errors import ConfigError
from crowdrun.training.batches import Share
from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.strategies.accumulation import backward
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
        micro_batch, weight = self.setup.options.micro_batch, share.samples / share.together
        loss = backward(partial(self.setup.loss, self.model), share, weight=weight, micro_batch=micro_batch)
        gradients = torch.nn.functional.pad(flattened_gradients(self.model), (0, self._padding))
        self._clock += 1
        fill(self.model, self._mail.push(self._clock, gradients)[: self._length])
        return loss

    def end_epoch(self) -> None:
        # All took as many steps: all gradients are in before anyone takes what the servers have then.
        dist.barrier()
        fill(self.model, self._mail.pull()[: self._length])
        dist.barrier()

    def held(self) -> Held:
        return held(self.model, self.optimizer)

    def state(self) -> dict[str, Tensor]:
        """The servers' parts put together: each rank's server is one of any number of them next time."""
        self.end_epoch()
        found = self.held().tensors()
        for key, value in self.optimizer.state.get(self._shard.values, {}).items():
            if isinstance(value, Tensor):
                found |= {f"optimizer.{name}.{key}": part for name, part in self._by_name(value).items()}
        return found

    def template(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        states = {name: torch.zeros_like(value, device="cpu") for name, value in kept.items() if _is_state(name)}
        return {**self.held().template({}), **states}

    def load_state(self, filled: Mapping[str, Tensor]) -> None:
        self._shard.values.data.copy_(self._own_part(flattened(self.model)))
        names = [name for name, _ in self.model.named_parameters()]
        keys = {name.rpartition(".")[2]: None for name in filled if _is_state(name)}
        state = self.optimizer.state[self._shard.values]
        for key in keys:
            parts = [filled[f"optimizer.{name}.{key}"] for name in names if f"optimizer.{name}.{key}" in filled]
            whole = torch.cat([part.reshape(-1) for part in parts])
            state[key] = self._own_part(whole) if len(whole) == self._length else parts[0]

    def inexact(self, *, resized: bool) -> str | None:
        del resized
        exact = self.settings.mode == "synchronous"
        return None if exact else "the workers meet at a checkpoint, and gradients come in another order every time"

    def _by_name(self, value: Tensor) -> dict[str, Tensor]:
        """What the optimiser keeps for the whole vector, cut at the parameters; a count is that of each of them."""
        named = dict(self.model.named_parameters())
        if value.shape != self._shard.values.shape:
            return dict.fromkeys(named, value)
        parts = [torch.empty_like(value) for _ in range(self.setup.ranks.world_size)]
        dist.all_gather(parts, value.contiguous())
        cut = torch.split(torch.cat(parts)[: self._length], [parameter.numel() for parameter in named.values()])
        return {name: part.view_as(named[name]) for name, part in zip(named, cut, strict=True)}

    def _own_part(self, whole: Tensor) -> Tensor:
        """This rank's of a vector over all parameters."""
        padded, size = torch.nn.functional.pad(whole, (0, self._padding)), len(self._shard.values)
        return padded[self.setup.ranks.rank * size : (self.setup.ranks.rank + 1) * size].clone()

    def weights(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def whole_model(self) -> nn.Module:
        return self.model

    def report(self) -> Mapping[str, float | str]:
        return {"largest_clock_gap": self._shard.largest_gap}

    def close(self) -> None:
        self._mail.close()


def _is_state(name: str) -> bool:
    return name.startswith("optimizer.")
