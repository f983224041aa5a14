"""What workers and servers say to each other: point-to-point messages, a thread for the server.

A worker asks for the answer before it sends its gradient, so that no server ever waits to be heard; else two could wait
for each other. Requests and answers have process groups of their own: each is used by one side alone.
"""

import queue
import threading
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from crowdrun.training.strategies.server_shard import Reply, Shard

#: What a request is, in its first number; the second is the worker's clock.
PUSH, PULL, STOP = range(3)
_HEAD = 2


class Mail:
    """One rank's worker and server among all."""

    def __init__(self, shard: Shard, *, size: int, like: Tensor, rank: int, world_size: int) -> None:
        self._shard, self._size, self._rank = shard, size, rank
        self._like = like
        self._others = [other for other in range(world_size) if other != rank]
        self._world_size = world_size
        self._requests, self._answers = dist.new_group(), dist.new_group()
        self._sent: dict[int, tuple[dist.Work, Tensor]] = {}
        self._thread = threading.Thread(target=self._serve, name="parameter server", daemon=True)
        self._thread.start()

    def push(self, clock: int, gradients: Tensor) -> Tensor:
        """Send each server its part of the gradients; all parameters, when every server has let this worker go on."""
        return self._ask(PUSH, clock, torch.split(gradients, self._size))

    def pull(self) -> Tensor:
        """All parameters as the servers have them."""
        return self._ask(PULL, 0, [self._like.new_zeros(self._size)] * self._world_size)

    def close(self) -> None:
        """End the servers; all ranks do it together."""
        dist.barrier()
        self._tell(STOP)
        self._thread.join()

    def _ask(self, kind: int, clock: int, parts: Sequence[Tensor]) -> Tensor:
        answers = [self._like.new_empty(self._size) for _ in range(self._world_size)]
        coming = [dist.irecv(answers[other], src=other, group=self._answers) for other in self._others]
        own: queue.SimpleQueue[Tensor] = queue.SimpleQueue()
        for other in self._others:
            dist.send(torch.cat([self._head(kind, clock), parts[other]]), dst=other, group=self._requests)
        if kind == PUSH:
            self._shard.push(self._rank, clock, parts[self._rank], own.put)
        else:
            self._shard.pull(own.put)
        for work in coming:
            assert work is not None  # this rank is in the group
            work.wait()
        answers[self._rank] = own.get()
        return torch.cat(answers)

    def _tell(self, kind: int) -> None:
        for other in self._others:
            message = torch.cat([self._head(kind, 0), self._like.new_zeros(self._size)])
            dist.send(message, dst=other, group=self._requests)

    def _head(self, kind: int, clock: int) -> Tensor:
        return self._like.new_tensor([float(kind), float(clock)])

    def _serve(self) -> None:
        """Until every other worker has said STOP."""
        stopped = 0
        while stopped < len(self._others):
            message = self._like.new_empty(_HEAD + self._size)
            worker = dist.recv(message, group=self._requests)
            kind, clock, body = int(message[0]), int(message[1]), message[_HEAD:]
            if kind == STOP:
                stopped += 1
            elif kind == PUSH:
                self._shard.push(worker, clock, body, self._answer_to(worker))
            else:
                self._shard.pull(self._answer_to(worker))

    def _answer_to(self, worker: int) -> Reply:
        def answer(part: Tensor) -> None:
            # A worker asks again only when it has the last answer, so this does not wait; what is under way keeps its
            # memory until then.
            if worker in self._sent:
                self._sent[worker][0].wait()
            work = dist.isend(part, dst=worker, group=self._answers)
            if work is not None:
                self._sent[worker] = (work, part)

        return answer
