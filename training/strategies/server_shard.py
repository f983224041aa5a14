"""One part of the parameters, and the rule by which workers may go on with it."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crowdrun.training.strategies.base import Setup

Reply = Callable[[Tensor], None]


class _Vector(nn.Module):
    """What the task's optimiser is made for."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values)


class Shard:
    """Takes the gradients of a part from all workers, and answers each with the part when it may go on.

    A worker's clock is the number of gradients that it has sent. synchronous: one step for each clock, when all
    gradients of it are there. asynchronous: a step for each gradient, and an answer at once. stale-synchronous:
    the same, but the answer waits while the worker is more than `bound` ahead of the slowest, so that no two
    clocks are ever further apart than bound + 1.
    """

    def __init__(self, values: Tensor, setup: Setup, settings: Any) -> None:
        self._vector = _Vector(values)
        self.optimizer = setup.task.optimizer(self._vector, setup.options)
        self._mode, self._bound = settings.mode, settings.bound
        self._lock = threading.Lock()
        self._clocks = [0] * setup.ranks.world_size
        self._waiting: dict[int, Reply] = {}
        self._gradients: dict[int, Tensor] = {}
        self.largest_gap = 0

    @property
    def values(self) -> nn.Parameter:
        """What the optimiser steps."""
        return self._vector.values

    def push(self, worker: int, clock: int, gradient: Tensor, reply: Reply) -> None:
        """A worker's gradient for this part; `reply` is called with the part when it may go on."""
        with self._lock:
            self._clocks[worker] = clock
            self.largest_gap = max(self.largest_gap, max(self._clocks) - min(self._clocks))
            self._waiting[worker] = reply
            if self._mode == "synchronous":
                self._gradients[worker] = gradient
                if len(self._waiting) == len(self._clocks):
                    # In the order of the workers, not of their messages: the same sum every time, bit for bit.
                    self._step(torch.stack([self._gradients[each] for each in sorted(self._gradients)]).sum(0))
                    self._release()
            else:
                self._step(gradient)
                self._release()

    def pull(self, reply: Reply) -> None:
        """Answer with the part as it is."""
        with self._lock:
            reply(self._vector.values.detach().clone())

    def _step(self, gradient: Tensor) -> None:
        self._vector.values.grad = gradient.clone()
        self.optimizer.step()

    def _release(self) -> None:
        slowest = min(self._clocks)
        for worker in list(self._waiting):
            held = self._mode == "stale-synchronous" and self._clocks[worker] - slowest > self._bound
            if not held:
                self._waiting.pop(worker)(self._vector.values.detach().clone())
