"""Asks a real GPU: configurations trained for two steps each, their peaks beside the forecast, and what is learned.

The device's figure is all that the driver counts on the card, less what was there before this process came.
"""

import gc
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.recompute import checkpoint_blocks
from crowdrun.predictor.gpu_memory.card_models import Configuration, configurations, program_of
from crowdrun.predictor.gpu_memory.device import DeviceOverhead
from crowdrun.predictor.gpu_memory.forecast import forecast_program
from crowdrun.predictor.gpu_memory.learned.reserved_line import reserved_line
from crowdrun.predictor.gpu_memory.program import Program

_MB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """MB: what was forecast and what the card said."""

    configuration: Configuration
    forecast_allocated: float
    forecast_reserved: float
    allocated: float
    reserved: float
    device: float


def measure(configuration: Configuration, *, before_bytes: int) -> Measured:
    """Forecast it, train it for two steps on the GPU, and read the marks.

    Args:
        configuration: what to train.
        before_bytes: what others held on the card before this process came.
    """
    program = program_of(configuration)
    said = forecast_program(program, settings_of(configuration))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    lowest_free = train(program, configuration, torch.device("cuda"), steps=2)
    total = torch.cuda.mem_get_info()[1]
    return Measured(
        configuration=configuration,
        forecast_allocated=said.allocated_mb,
        forecast_reserved=said.reserved_mb,
        allocated=torch.cuda.max_memory_allocated() / _MB,
        reserved=torch.cuda.max_memory_reserved() / _MB,
        device=(total - lowest_free - before_bytes) / _MB,
    )


def settings_of(configuration: Configuration, device: str = "cuda") -> ForecastSettings:
    """How the configuration is trained."""
    return ForecastSettings(precision=configuration.precision, checkpointing=configuration.checkpointing, device=device)


def train(program: Program, configuration: Configuration, device: torch.device, *, steps: int) -> int:
    """Really; returns the least bytes that were free on the card at the end of a step (0 on a CPU)."""
    model = program.model().to(device)
    if configuration.checkpointing:
        checkpoint_blocks(model)
    if program.optimizer is None:
        return 0
    optimizer = program.optimizer(model)
    lowest = 1 << 62
    for _ in range(steps):
        batch = [tensor.to(device) for tensor in program.batch()]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=configuration.precision == "bf16"):
            loss = program.loss(model, batch)
        torch.autograd.backward(loss)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
            lowest = min(lowest, torch.cuda.mem_get_info()[0])
    return lowest if device.type == "cuda" else 0


def learn(measured: Sequence[Measured], card: str) -> DeviceOverhead:
    """The straight line from reserved to device, and its margins."""
    points = [(one.forecast_reserved, one.device) for one in measured]
    return reserved_line(points, f"measured on {card}, {len(points)} runs")


def figures(measured: Sequence[Measured], card: str) -> dict[str, Any]:
    """What the bench writes: the card, the overhead, the median and largest errors, and every run."""
    overhead = learn(measured[::2], card)
    judged = measured[1::2]
    errors = {
        "allocated": [abs(one.forecast_allocated / one.allocated - 1) for one in measured],
        "reserved": [abs(one.forecast_reserved / one.reserved - 1) for one in measured],
        # The line is learnt on every other run and judged on those between.
        "device": [abs(overhead.device_mb(one.forecast_reserved) / one.device - 1) for one in judged],
    }
    return {
        "card": card,
        "torch": torch.__version__,
        "runs": len(measured),
        "overhead": asdict(overhead),
        "median_error": {name: statistics.median(values) for name, values in errors.items()},
        "largest_error": {name: max(values) for name, values in errors.items()},
        "measured": [asdict(one) for one in measured],
    }


def fit_or_not(
    measured: Sequence[Measured], overhead: DeviceOverhead, caps_mb: Sequence[float] = (8192, 16384, 24576, 40960)
) -> dict[str, float]:
    """The share of runs of which it is said rightly whether they fit under each cap, by the forecast's median."""
    return {
        f"{cap / 1024:g}GiB": statistics.mean(
            (overhead.device_mb(one.forecast_reserved) <= cap) == (one.device <= cap) for one in measured
        )
        for cap in caps_mb
    }


def run(progress: Callable[[int, int], None]) -> Iterator[Measured]:
    """Every configuration in turn; one that runs out of memory is left out.

    Args:
        progress: told how many of how many are done.
    """
    free, total = torch.cuda.mem_get_info()
    # What this process itself took to ask (its context) is counted with it, not with what was there.
    before = max(0, total - free - _context_bytes())
    todo = configurations()
    for number, configuration in enumerate(todo):
        try:
            yield measure(configuration, before_bytes=before)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        progress(number + 1, len(todo))


def _context_bytes() -> int:
    """What this process holds on the card by the driver's own list, 0 where the driver does not say."""
    try:
        processes = torch.cuda.list_gpu_processes()
    except (ImportError, ModuleNotFoundError, RuntimeError):
        return 0
    mine = [
        line for line in processes.splitlines() if f"process {os.getpid():>10d}" in line or f" {os.getpid()} " in line
    ]
    return int(float(mine[0].split("uses")[1].split("MB")[0]) * _MB) if mine else 0
