"""How a strategy changes what one rank holds; `STRATEGIES` is the table of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.timeline import KIND
from crowdrun.predictor.gpu_memory.trace import MemoryTrace

#: (model, micro-batch) -> its loss.
LossOf = Callable[[Module, Any], Tensor]


class Sharding:
    """One GPU, which holds everything: what a strategy may change."""

    def __init__(self, settings: ForecastSettings, trace: MemoryTrace) -> None:
        self.settings, self.trace = settings, trace
        self.notes: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """What is needed around the trace."""
        yield

    #: Layers that this rank has, where it has not all.
    layers: str = ""

    def place(self, model: Module, program: Program) -> Module:
        """The model as this rank holds it."""
        del program
        return model

    @property
    def batches(self) -> int:
        """Micro-batches of a step. Two stand for any larger number: from the second on, gradients are added to those
        that are there."""
        return min(self.settings.accumulation, 2)

    def work_on(self, batches: list[Any], model: Module, loss_of: LossOf) -> Tensor | None:
        """Forward and back; the last loss, if it is kept until the next step."""
        loss: Tensor | None = None
        for batch in batches:
            self.trace.timeline.enter("forward")
            loss = loss_of(model, batch)
            self.trace.timeline.enter("backward")
            torch.autograd.backward(loss)
        # The graph of a deep model takes memory of this process, where a training loop keeps the value alone in mind.
        return None if loss is None else loss.detach()

    def local(self, tensor: Tensor) -> Tensor:
        """This rank's part of a tensor."""
        return tensor

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        """The optimiser as this rank holds it."""
        return optimizer

    def prepare(self, model: Module) -> None:
        """What is set up before the first step."""


class DataParallel(Sharding):
    """DistributedDataParallel: all on every rank, and the gradients once more in the buckets that are averaged.

    With `bucket_views` (DDP's gradient_as_bucket_view) the gradients lie in the buckets.
    """

    def prepare(self, model: Module) -> None:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._buckets = []
        for group in buckets_of(parameters):
            bucket = torch.empty(sum(one.numel() for one in group), dtype=group[0].dtype)
            self._buckets.append(bucket)
            number = self.trace.number_of(bucket)
            if number is not None:
                self.trace.timeline.kind[number] = KIND["gradients"]
            if self.settings.bucket_views:
                _view_gradients(group, bucket)


def _view_gradients(group: list[Parameter], bucket: Tensor) -> None:
    """Once a gradient is there it is copied to its place in the bucket, and let go."""
    place = 0
    for parameter in group:
        view = bucket[place : place + parameter.numel()].view(parameter.shape)
        place += parameter.numel()

        def replace(parameter: Tensor, view: Tensor = view) -> None:
            parameter.grad = view

        parameter.register_post_accumulate_grad_hook(replace)  # type: ignore[no-untyped-call]


#: Of DDP: the first bucket, which is on its way early, and the others.
FIRST_BUCKET_BYTES, BUCKET_BYTES = 1 << 20, 25 << 20


def buckets_of(parameters: Iterable[Parameter]) -> list[list[Parameter]]:
    """Parameters by the bucket that their gradients are averaged in, from the last of the model to the first.

    After compute_bucket_assignment_by_size (torch/csrc/distributed/c10d/reducer.cpp): a bucket is closed by the tensor
    that fills it; types are kept apart.
    """
    open_buckets: dict[torch.dtype, list[Parameter]] = {}
    closed: list[list[Parameter]] = []
    for parameter in reversed(list(parameters)):
        bucket = open_buckets.setdefault(parameter.dtype, [])
        bucket.append(parameter)
        limit = BUCKET_BYTES if any(one[0].dtype == parameter.dtype for one in closed) else FIRST_BUCKET_BYTES
        if sum(one.nbytes for one in bucket) >= limit:
            closed.append(open_buckets.pop(parameter.dtype))
    return closed + list(open_buckets.values())


class ShardedState(DataParallel):
    """ZeRO-1: as DistributedDataParallel, but each rank keeps the optimiser's state of its share of the parameters.

    The share is that of torch's ZeroRedundancyOptimizer (`_partition_parameters`): the largest parameter first, each to
    the rank that has least.
    """

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        held = [0] * self.settings.world_size
        for group in optimizer.param_groups:
            mine = []
            for parameter in sorted(group["params"], key=Tensor.numel, reverse=True):
                rank = held.index(min(held))
                held[rank] += parameter.numel()
                if rank == self.settings.place:
                    mine.append(parameter)
            group["params"] = mine
        optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
        return optimizer


@contextmanager
def sharding_for(settings: ForecastSettings, trace: MemoryTrace) -> Iterator[Sharding]:
    """The strategy of the settings, with what it needs for as long as the context lasts."""
    chosen = getattr(import_module(_PACKAGE + STRATEGIES[settings.strategy][0]), STRATEGIES[settings.strategy][1])
    sharding: Sharding = chosen(settings, trace)
    with sharding.running():
        yield sharding


_PACKAGE = "crowdrun.predictor.gpu_memory."
#: Strategy -> module and class; torch's FSDP and pipelines take a second to import.
STRATEGIES: Mapping[str, tuple[str, str]] = {
    "single": ("sharding", "Sharding"),
    "ddp": ("sharding", "DataParallel"),
    "zero1": ("sharding", "ShardedState"),
    "fsdp": ("fully_sharded", "FullySharded"),
    "pipeline": ("stages", "Stages"),
    "hybrid": ("stages", "Stages"),
}
