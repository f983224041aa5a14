"""The order in which the parts of a batch go forward and back through the stages: torch's own schedules, by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.pipelining.schedules import Schedule1F1B, ScheduleInterleaved1F1B, ScheduleInterleavedZeroBubble

_SCHEDULES: Mapping[str, Callable[..., Any]] = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "zero-bubble": ScheduleInterleavedZeroBubble,
}


def make_schedule(name: str, stages: Sequence[PipelineStage], *, micro_batches: int) -> Any:
    """The schedule of the stages that one rank has."""
    count = stages[0].num_stages
    length = count // len(stages)
    # The last batch of an epoch may be too small for more than the plainest.
    plain = micro_batches < count or micro_batches % length
    if len(stages) > 1:
        kind = partial(_SCHEDULES["interleaved"] if plain else _SCHEDULES[name], list(stages))
    else:
        kind = partial(ScheduleGPipe if plain else _SCHEDULES[name], stages[0])
    return kind(micro_batches, loss_fn=_unset, scale_grads=False)


def _unset(out: Any, target: Any) -> Any:
    raise NotImplementedError("the loss of a step is set before it")
