"""The order in which the parts of a batch go forward and back through the stages: torch's own schedules, by name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.pipelining.schedules import Schedule1F1B, ScheduleInterleaved1F1B, ScheduleInterleavedZeroBubble

#: Stages of a rank: with two, a rank has less to wait for at the ends of the pipeline.
CHUNKS: Mapping[str, int] = {"gpipe": 1, "1f1b": 1, "interleaved": 2, "zero-bubble": 2}
_SCHEDULES: Mapping[str, Callable[..., Any]] = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "zero-bubble": ScheduleInterleavedZeroBubble,
}


def make_schedule(
    name: str,
    stages: Mapping[int, nn.Module],
    *,
    count: int,
    micro_batches: int,
    device: torch.device,
    group: dist.ProcessGroup,
) -> Any:
    """The schedule of this rank's `stages` (number -> layers), of `count` in all."""
    made = [PipelineStage(module, number, count, device, group=group) for number, module in stages.items()]
    length = count // len(made)
    # The last batch of an epoch may be too small for more than the plainest.
    plain = micro_batches < count or micro_batches % length
    if len(made) > 1:
        kind = partial(_SCHEDULES["interleaved"] if plain else _SCHEDULES[name], made)
    else:
        kind = partial(ScheduleGPipe if plain else _SCHEDULES[name], made[0])
    return kind(micro_batches, loss_fn=_unset, scale_grads=False)


def _unset(out: Any, target: Any) -> Any:
    raise NotImplementedError("the loss of a step is set before it")
