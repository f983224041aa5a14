"""One rank of a pipeline: its stages alone, and torch's own schedule over them, which sends nothing anywhere.

What comes from the other ranks is known by its shape alone, which one pass through all layers shows. That pass also
says what each layer costs, by which the layers are divided.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, schedules
from torch.distributed.pipelining._utils import (
    TensorMeta,
    _derive_grad_metas,
    _StageBackwardMeta,
    _StageForwardMeta,
)
from torch.nn import Module, ModuleDict

from crowdrun.data.errors import ConfigError, ForecastError
from crowdrun.data.pipeline.cut import balanced, stage_of, units_of
from crowdrun.data.pipeline.loss_apart import StandIn, inputs_of
from crowdrun.data.pipeline.names import CHUNKS
from crowdrun.data.pipeline.schedules import make_schedule
from crowdrun.predictor.gpu_memory.fake_group import fake_group
from crowdrun.predictor.gpu_memory.layer_costs import Layer, traced_layers
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.sharding import LossOf, Sharding
from crowdrun.predictor.gpu_memory.timeline import KIND

CUT_BY_COST = (
    "the layers are divided by what they compute and write, as traced; a run divides them by the time that each takes, "
    "which may cut elsewhere"
)


class Stages(Sharding):
    """As the runner's strategies pipeline and hybrid (`training/strategies/pipeline.py`) lay out and take a step."""

    @contextmanager
    def running(self) -> Iterator[None]:
        settings = self.settings
        self._schedule: Any = None
        with (
            fake_group(rank=settings.place % settings.length, world_size=settings.length, strategy=settings.strategy),
            mock.patch.object(schedules, "_batch_p2p", self._send_nowhere),
        ):
            yield

    def place(self, model: Module, program: Program) -> Module:
        length = self.settings.length
        count = length * CHUNKS[self.settings.schedule]
        try:
            units = units_of(model, count)
            inputs = inputs_of(program.loss, program.batch())
        except ConfigError as error:
            raise ForecastError(str(error)) from None
        layers = traced_layers([stage_of([unit]) for unit in units], inputs, self.trace, self.settings.precision)
        cuts = balanced([layer.cost for layer in layers], count)
        self.notes.append(CUT_BY_COST)
        mine = {number: units[cuts[number] : cuts[number + 1]] for number in range(self._place, count, length)}
        self.layers = ", ".join(f"{stage[0][0][0]}-{stage[-1][-1][0]}" for stage in mine.values())
        stages = {number: stage_of(stage) for number, stage in mine.items()}
        self._loss = program.loss
        self._stages = [
            TracedStage(self, stage, number, count, _between(layers, cuts[number]), _between(layers, cuts[number + 1]))
            for number, stage in stages.items()
        ]
        return ModuleDict({f"stage {number}": stage for number, stage in stages.items()})

    @property
    def batches(self) -> int:
        return self.settings.pieces

    def work_on(self, batches: list[Any], model: Module, loss_of: LossOf) -> Tensor | None:
        parts = len(batches)

        def loss_of_part(out: Tensor, number: Tensor) -> Tensor:
            return loss_of(StandIn(out), batches[int(number)]) / parts

        inputs = []
        self.trace.timeline.enter("input")
        if self._stages[0].is_first:
            inputs = [torch.cat([inputs_of(self._loss, batch) for batch in batches])]
            self.name(inputs[0], "inputs")
        self.trace.timeline.enter("forward")
        if self._schedule is None:
            self._schedule = make_schedule(self.settings.schedule, self._stages, micro_batches=parts)
        self._schedule._loss_fn = loss_of_part
        numbers = torch.arange(parts) if self._stages[-1].is_last else None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bf16"):
            self._schedule.step(*inputs, target=numbers)
        self._average(model)
        return None

    def name(self, tensor: Tensor, kind: str) -> None:
        """Say what a tensor is."""
        number = self.trace.number_of(tensor)
        if number is not None:
            self.trace.timeline.kind[number] = KIND[kind]

    @property
    def _place(self) -> int:
        return self.settings.place % self.settings.length

    def _average(self, model: Module) -> None:
        """Copies of a pipeline add up their gradients as one vector, into which the gradients are views afterwards."""
        if self.settings.length == self.settings.world_size:
            return
        parameters = list(model.parameters())
        total = torch.cat([
            (torch.zeros_like(one) if one.grad is None else one.grad).detach().reshape(-1) for one in parameters
        ])  # fmt: skip
        start = 0
        for one in parameters:
            one.grad = total[start : start + one.numel()].view_as(one)
            start += one.numel()

    def _send_nowhere(self, operations: Sequence[Any], desc: str | None = None) -> list["_Sent"]:
        del desc
        return [_Sent(one.tensor, keeps=self.settings.device == "cpu") for one in operations]


class _Sent:
    """The handle of something that was sent. gloo's keeps it as long as the handle is there (ProcessGroupGloo.hpp,
    SendWork), NCCL's until it was waited for."""

    def __init__(self, tensor: Tensor, *, keeps: bool) -> None:
        self._tensor: Tensor | None = tensor
        self._keeps = keeps

    def wait(self) -> None:
        if not self._keeps:
            self._tensor = None


class TracedStage(PipelineStage):
    """A stage whose neighbours are not there: what they would say of their tensors is known beforehand."""

    def __init__(
        self, stages: Stages, module: Module, number: int, count: int, before: TensorMeta | None,
        after: TensorMeta | None,
    ) -> None:  # fmt: skip
        super().__init__(module, number, count, torch.device("cpu"))
        self._of, self._before, self._after = stages, before, after

    def forward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        self._of.trace.timeline.enter("forward")
        return super().forward_one_chunk(*args, **kwargs)

    def backward_one_chunk(self, *args: Any, **kwargs: Any) -> None:
        self._of.trace.timeline.enter("backward")
        super().backward_one_chunk(*args, **kwargs)

    def backward_weight_one_chunk(self, *args: Any, **kwargs: Any) -> None:
        self._of.trace.timeline.enter("backward")
        super().backward_weight_one_chunk(*args, **kwargs)

    def _warmup_forward_vote(self, has_backward: bool, received_acc: Tensor | None = None) -> Tensor:
        # Nobody told the shapes beforehand: torch finds them in its first step.
        del has_backward, received_acc
        return torch.zeros(1, dtype=torch.int32)

    def _warmup_backward_result(self, received_result: Tensor | None = None) -> Tensor:
        del received_result
        return torch.zeros(1, dtype=torch.int32)

    def _recv_meta(self, src_stage: int) -> Any:
        if src_stage < self.stage_index:
            return _StageForwardMeta(forward_metas=(cast(TensorMeta, self._before),))
        return _StageBackwardMeta(backward_metas=_derive_grad_metas((cast(TensorMeta, self._after),)))

    def _send_meta(self, meta: Any, dst_stage: int) -> None:
        del meta, dst_stage

    def _setup_forward_recv_info(self, num_microbatches: int, has_backward: bool) -> None:
        super()._setup_forward_recv_info(num_microbatches, has_backward)
        self._name_buffers(self.args_recv_info)

    def _setup_backward_recv_info(self, num_microbatches: int) -> None:
        super()._setup_backward_recv_info(num_microbatches)
        self._name_buffers(self.grad_recv_info)

    def _name_buffers(self, infos: Any) -> None:
        for received in infos.values():
            for info in received:
                if info.buffer is not None:
                    self._of.name(info.buffer, "activations")


def _between(layers: list[Layer], place: int) -> TensorMeta | None:
    """What goes from the layer before to the one at this place."""
    return layers[place - 1].out if 0 < place < len(layers) else None
