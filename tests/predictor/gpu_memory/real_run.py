"""The peak of a real run on the CPU, from the memory events of torch's profiler.

Kernels of oneDNN keep copies of their arguments in a layout of their own while they run. That scratch is the CPU
library's, and what it takes depends on the processor: what is taken and given back inside one of them is left out.
So are the copies that gloo makes of what it sends; NCCL makes none in torch's memory.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile

from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.recompute import checkpoint_blocks
from crowdrun.predictor.gpu_memory.step import without_onednn
from tests.predictor.gpu_memory.zoo import Case

#: Convolutions of oneDNN.
KERNELS_WITH_SCRATCH = {"aten::_convolution", "aten::convolution_backward"}


def real_peak_bytes(case: Case, settings: ForecastSettings) -> int:
    """Parameters and buffers, and the largest sum of what two steps allocate on top of them."""
    torch.manual_seed(0)
    model = case.model()
    model.train(settings.training)
    if settings.checkpointing:
        checkpoint_blocks(model)
    held = {tensor.untyped_storage()._cdata: tensor for tensor in (*model.parameters(), *model.buffers())}
    base = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    optimizer = case.optimizer(model)
    # oneDNN's recurrent layers keep a workspace of its own layout until the backward pass; torch's own do not.
    with (
        without_onednn() if has_recurrent(model) else nullcontext(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        (_train if settings.training else _infer)(case, settings, model, optimizer)
    return base + largest_sum(profiler)


def has_recurrent(model: torch.nn.Module) -> bool:
    return any(isinstance(module, torch.nn.RNNBase) for module in model.modules())


def _train(case: Case, settings: ForecastSettings, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(2):
        batches = [case.batch() for _ in range(min(settings.accumulation, 2))]
        optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                loss = case.loss(model, batch)
            loss.backward()
        optimizer.step()


def _infer(case: Case, settings: ForecastSettings, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        case.loss(model, case.batch())


def largest_sum(profiler: profile) -> int:
    """Bytes, of all that the profiler saw."""
    roots = profiler.profiler.kineto_results.experimental_event_tree()  # type: ignore[union-attr]
    nodes = sorted(_nodes(roots), key=lambda node: node.start_time_ns)
    scratch = {change for node in nodes if node.name in KERNELS_WITH_SCRATCH for change in _scratch(node)}
    changes = [_change(node) for node in nodes if node.typed[0] == _EventType.Allocation]
    copies = {_change(node) for collective in nodes if collective.name.startswith("c10d::")
              for node in _nodes([collective]) if node.typed[0] == _EventType.Allocation}  # fmt: skip
    scratch |= copies | _given_back(copies, changes)
    total = largest = 0
    for change in changes:
        if change not in scratch:
            total += change[2]
            largest = max(largest, total)
    return largest


def _given_back(taken: set[tuple[int, int, int]], changes: list[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """The frees of what was taken, whenever they come."""
    found, addresses = set(), set()
    for change in changes:
        if change in taken and change[2] > 0:
            addresses.add(change[1])
        elif change[2] < 0 and change[1] in addresses:
            addresses.discard(change[1])
            found.add(change)
    return found


def _change(node: Any) -> tuple[int, int, int]:
    """Time, address, bytes (negative where they are given back)."""
    return node.start_time_ns, node.extra_fields.ptr, node.extra_fields.alloc_size


def _scratch(kernel: Any) -> Iterator[tuple[int, int, int]]:
    """What the kernel takes and gives back itself."""
    taken: dict[int, tuple[int, int, int]] = {}
    for node in sorted(_nodes([kernel]), key=lambda node: node.start_time_ns):
        if node.typed[0] == _EventType.Allocation:
            change = _change(node)
            if change[2] > 0:
                taken[change[1]] = change
            elif change[1] in taken:
                yield from (taken.pop(change[1]), change)


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        yield from _nodes(node.children)
