"""The layers divided over the ranks, which work on different parts of a batch at once (torch.distributed.pipelining).

GPipe (Huang et al., 2019); 1F1B (Narayanan et al., "PipeDream", 2019); interleaved (the same, "Megatron-LM", 2021);
zero bubble (Qi et al., 2023). The layers are those of the nn.Sequential that the task's model is, and the cut is
balanced by what each was measured to cost (`balance.py`). With `hybrid` there are several copies of the pipeline, whose
gradients are averaged stage by stage.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage

from crowdrun.data.pipeline.cut import Unit, balanced, stage_of, units_of
from crowdrun.data.pipeline.loss_apart import StandIn, inputs_of
from crowdrun.data.pipeline.names import CHUNKS
from crowdrun.data.pipeline.schedules import make_schedule
from crowdrun.training.batches import Share
from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.parts import samples_in
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.balance import costs_s
from crowdrun.training.strategies.base import Setup, Strategy, as_reader
from crowdrun.training.strategies.flat import sum_gradients
from crowdrun.training.strategies.mesh import group_size, two_levels
from crowdrun.training.strategies.micro_batches import parts_of

#: What is sent at once when the layers of all ranks are put together.
_BUCKET_BYTES = 25 << 20


class Pipeline(Strategy):
    """One pipeline over all ranks."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        mesh = two_levels(setup.ranks, inside=self.pipeline_ranks())
        self._group, self._copies = mesh.get_group("inside"), mesh.get_group("across")
        self._place, self._length = mesh.get_local_rank("inside"), mesh["inside"].size()
        self._reader = as_reader(setup.ranks, number=mesh.get_local_rank("across"), of=mesh["across"].size())
        self._count = self._length * CHUNKS[settings.schedule]
        # On the host: a card is to hold its own stages, and need not have room for all.
        units = units_of(setup.model(torch.device("cpu")), self._count)
        self.cuts = self._cuts(units)
        # Each name is as in the whole model, so that the weights of all stages together are the model's.
        self._stages = {
            number: stage_of(units[self.cuts[number] : self.cuts[number + 1]]).to(setup.ranks.device)
            for number in range(self._place, self._count, self._length)
        }
        #: Name of a layer -> the rank of its pipeline that has it.
        self._place_of = {
            name: number % self._length
            for number in range(self._count)
            for unit in units[self.cuts[number] : self.cuts[number + 1]]
            for name, _ in unit
        }
        self.model = nn.ModuleList(self._stages.values())
        self.optimizer = setup.task.optimizer(self.model, setup.options)
        self._schedules: dict[tuple[int, int], Any] = {}

    def pipeline_ranks(self) -> int:
        """Ranks of one pipeline."""
        return self.setup.ranks.world_size

    @property
    def reader(self) -> Ranks:
        return self._reader

    @property
    def counts(self) -> bool:
        return self._place == self._length - 1

    def step(self, share: Share) -> float:
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        # A rank of a copy that has no sample of its own works on another's, at weight 0.
        parts = parts_of(share, self.settings.micro_batches, most=self.setup.options.micro_batch)
        share_of_batch = share.samples / share.together
        losses: dict[int, Tensor] = {}

        def loss_of(out: Tensor, number: Tensor) -> Tensor:
            loss = self.setup.task.loss(StandIn(out), parts[int(number)])
            # The first step is gone through once before, with nothing in the tensors, to see their shapes.
            losses[int(number)] = loss.detach()
            return loss * (share_of_batch / len(parts))

        inputs = torch.cat([inputs_of(self.setup.task.loss, part) for part in parts]) if self._place == 0 else None
        schedule = self._schedule(len(parts), samples_in(parts[0]))
        schedule._loss_fn = loss_of
        numbers = torch.arange(len(parts)) if self.counts else None
        with self.setup.precision():
            schedule.step(*([inputs] if inputs is not None else []), target=numbers)
        self._average()
        self.optimizer.step()
        return torch.stack(list(losses.values())).mean().item() if losses else 0.0

    def held(self) -> Held:
        parts = [held(stage, self.optimizer) for stage in self._stages.values()]
        return Held(
            parameters={name: value for part in parts for name, value in part.parameters.items()},
            buffers={name: value for part in parts for name, value in part.buffers.items()},
            optimizer=self.optimizer,
        )

    def decisions(self) -> Mapping[str, Any]:
        return {"cuts": self.cuts}

    def whole_model(self) -> nn.Module:
        """Each rank sends its own layers into the others' copies: gathered as objects they took three copies more."""
        model = self.setup.model()
        state = model.state_dict()
        for stage in self._stages.values():
            for name, value in stage.state_dict().items():
                state[name].copy_(value)
        for place in range(self._length):
            parts = [value for name, value in state.items() if self._place_of[name.split(".")[0]] == place]
            dist._broadcast_coalesced(self._group, parts, _BUCKET_BYTES, place)  # type: ignore[attr-defined]
        return model

    def weights(self) -> dict[str, Tensor]:
        return dict(self.whole_model().state_dict())

    def report(self) -> Mapping[str, float | str]:
        names = [[name for name, _ in stage.named_children()] for stage in self._stages.values()]
        return {"layers": ", ".join(f"{own[0]}-{own[-1]}" for own in names)}

    def _cuts(self, units: list[Unit]) -> list[int]:
        """The first unit of each stage, and their number: the same on all ranks."""
        before = list(self.setup.decided.get("cuts", ()))
        if len(before) == self._count + 1 and before[-1] == len(units):
            return before
        told: list[Any] = [None]
        if self.setup.ranks.first:
            told = [balanced(costs_s(self.setup, [stage_of([unit]) for unit in units]), self._count)]
        dist.broadcast_object_list(told, src=0)
        return list(told[0])

    def _schedule(self, micro_batches: int, samples: int) -> Any:
        """One for each number and size of micro-batches: what goes from rank to rank has a fixed shape."""
        key = (micro_batches, samples)
        if key not in self._schedules:
            self._schedules[key] = make_schedule(
                self.settings.schedule,
                [
                    PipelineStage(stage, number, self._count, self.setup.ranks.device, group=self._group)
                    for number, stage in self._stages.items()
                ],
                micro_batches=micro_batches,
            )
        return self._schedules[key]

    def _average(self) -> None:
        """Add up the gradients of the copies, each of which has weighed its own."""
        if self._reader.world_size == 1:
            return
        sum_gradients(self.model, self._copies)


class Hybrid(Pipeline):
    """Copies of a pipeline: across the nodes the data is divided, inside each the model."""

    def pipeline_ranks(self) -> int:
        return group_size(self.settings.pipeline_ranks, self.setup.ranks, "pipeline_ranks")
