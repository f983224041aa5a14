"""From a traced step to the forecast: the peak, its parts, and what the allocator reserves for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from crowdrun.data.forecast import Forecast, ForecastSettings, ModuleMemory, RankPeak
from crowdrun.predictor.gpu_memory.caching_allocator import MIN_BLOCK, simulate
from crowdrun.predictor.gpu_memory.cuda_rules import CUBLAS_WORKSPACE_BYTES
from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel
from crowdrun.predictor.gpu_memory.learned.features import features_of
from crowdrun.predictor.gpu_memory.module_names import ModuleNames
from crowdrun.predictor.gpu_memory.parts import parts_at
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.step import TracedStep, trace_step

_MB = 1 << 20


def forecast(
    model_fn: Callable[[], Module],
    batch_fn: Callable[[], Any],
    *,
    loss_fn: Callable[[Module, Any], Tensor],
    optimizer_fn: Callable[[Module], Optimizer] | None = None,
    settings: ForecastSettings | None = None,
    overhead: DeviceModel = UNMEASURED,
) -> Forecast:
    """The GPU memory of one training step, without a GPU and without the memory.

    Args:
        model_fn: makes the model.
        batch_fn: makes one micro-batch (of tensors in lists, tuples and dictionaries).
        loss_fn: (model, batch) -> the loss, a scalar.
        optimizer_fn: makes the optimiser of the model; not needed where `settings.training` is False.
        settings: precision, accumulation, strategy and so on.
        overhead: what the card holds beside torch's allocator.

    Raises:
        ForecastError: the step cannot be traced; the message says where and why.

    >>> import torch
    >>> said = forecast(
    ...     lambda: torch.nn.Linear(1024, 1024),
    ...     lambda: torch.randn(512, 1024),
    ...     loss_fn=lambda model, batch: model(batch).sum(),
    ...     optimizer_fn=lambda model: torch.optim.AdamW(model.parameters()),
    ... )
    >>> round(said.split["parameters"], 2), round(said.split["optimizer_state"], 2), said.peak_step, said.peak_phase
    (4.0, 8.01, 1, 'optimizer')
    """
    settings = settings or ForecastSettings()
    program = Program(model=model_fn, batch=batch_fn, loss=loss_fn, optimizer=optimizer_fn)
    return forecast_program(program, settings, overhead)


def forecast_program(program: Program, settings: ForecastSettings, overhead: DeviceModel = UNMEASURED) -> Forecast:
    """The same for functions that are already together."""
    if settings.is_pipeline and settings.rank is None:
        return _of_the_largest_rank(program, settings, overhead)
    return forecast_of(trace_step(program, settings), settings, overhead)


def _of_the_largest_rank(program: Program, settings: ForecastSettings, overhead: DeviceModel) -> Forecast:
    """Each rank of one pipeline is traced; the copies of a pipeline are alike."""
    largest, each = None, []
    for rank in range(settings.length):
        traced = trace_step(program, replace(settings, rank=rank))
        said = forecast_of(traced, replace(settings, rank=rank), overhead)
        each.append(
            RankPeak(
                rank=rank, layers=traced.layers, allocated_mb=said.allocated_mb, reserved_mb=said.reserved_mb,
                device_mb=said.device_mb, kept_mb=_kept_mb(traced),
            )
        )  # fmt: skip
        if largest is None or said.reserved_mb > largest.reserved_mb:
            largest = said
    return replace(cast(Forecast, largest), each_rank=tuple(each))


def forecast_of(traced: TracedStep, settings: ForecastSettings, overhead: DeviceModel = UNMEASURED) -> Forecast:
    """The same of a step that was traced before."""
    cuda = settings.device == "cuda"
    granularity = MIN_BLOCK if cuda else 1
    timeline = traced.timeline
    sizes = np.where(traced.on_host, 0, timeline.sizes(granularity))
    usage = timeline.usage_of(sizes)
    event = int(np.argmax(usage)) + 1 if len(usage) else 0
    parts = parts_at(timeline, event, sizes)
    workspace = CUBLAS_WORKSPACE_BYTES if cuda else 0
    split = {part: int(parts.sizes[parts.kinds == part].sum()) / _MB for part in dict.fromkeys(parts.kinds.tolist())}
    if workspace:
        split["workspaces"] = workspace / _MB
    reserved = simulate(timeline, traced.on_host, (workspace,)).reserved_peak / _MB if cuda else sum(split.values())
    features = features_of(traced, sizes, split, reserved)
    return Forecast(
        settings=settings,
        parameters=traced.parameters,
        allocated_mb=sum(split.values()),
        reserved_mb=reserved,
        device_mb=overhead.whole_card_mb(features),
        device_basis=overhead.basis,
        split=split,
        peak_step=1 + sum(start < event for start in traced.step_starts[1:]),
        peak_phase=_phase_at(timeline.marks, event),
        tree=_tree(traced.names, parts.modules, parts.kinds, parts.sizes),
        notes=traced.notes,
        features=features,
    )


def _kept_mb(traced: TracedStep) -> float:
    """MB at the end of the last step."""
    timeline = traced.timeline
    place, name = timeline.marks[-1]
    usage = timeline.usage_of(np.where(traced.on_host, 0, timeline.sizes()))
    return int(usage[place - 1 if name == "between" else -1]) / _MB


def _phase_at(marks: list[tuple[int, str]], event: int) -> str:
    return next((name for start, name in reversed(marks) if start < event), "build")


def _tree(names: ModuleNames, modules: np.ndarray, kinds: np.ndarray, sizes: np.ndarray) -> ModuleMemory:
    """The model's modules with their bytes; what belongs to none hangs beside them."""
    own: dict[int, dict[str, int]] = {}
    for module, kind, size in zip(modules.tolist(), kinds.tolist(), sizes.tolist(), strict=True):
        if size:
            mine = own.setdefault(module, {})
            mine[kind] = mine.get(kind, 0) + size
    children: dict[str, list[int]] = {}
    for number, name in enumerate(names.names[2:], start=2):
        children.setdefault(name.rpartition(".")[0], []).append(number)

    def node(number: int) -> ModuleMemory:
        full = names.names[number]
        return ModuleMemory(
            name=full.rpartition(".")[2],
            kind=names.kinds[number],
            own=own.get(number, {}),
            children=tuple(node(child) for child in children.get(full, ())) if number else (),
        )

    rest = ModuleMemory(name="(outside the modules)", kind="", own=own.get(0, {}))
    top = node(1)
    return ModuleMemory(
        name=top.name, kind=top.kind, own=top.own, children=(*top.children, *([rest] if rest.own else []))
    )
