"""What may be asked about, turned into forecasts: a task, a built-in network, or a description. torch comes in here."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from crowdrun.data.description.model import ModelDescription
from crowdrun.data.forecast import Forecast, ForecastSettings
from crowdrun.data.task import TrainingOptions
from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel

#: Samples that one GPU takes at once, and how -> the forecast.
Ask = Callable[[int, ForecastSettings], Forecast]


def ask_task(target: str, options: TrainingOptions, overhead: DeviceModel = UNMEASURED) -> Ask:
    """Forecasts of a task: a file, a module, or that of a built-in network.

    Raises:
        ConfigError: there is none, or it lacks functions.
    """
    from crowdrun.predictor.gpu_memory.forecast import forecast_program
    from crowdrun.predictor.gpu_memory.task import task_program
    from crowdrun.training.task_loader import load_task

    task = load_task(str(Path(target).absolute()) if target.endswith(".py") else target, work_dir=Path.cwd())

    def ask(micro_batch: int, how: ForecastSettings) -> Forecast:
        program = task_program(task, options, micro_batch=micro_batch, training=how.training)
        return forecast_program(program, _of_a_rank(how), overhead)

    return ask


def ask_description(model: ModelDescription, optimizer: str, overhead: DeviceModel = UNMEASURED) -> Ask:
    """Forecasts of a description."""
    from crowdrun.predictor.gpu_memory.described import described_program
    from crowdrun.predictor.gpu_memory.forecast import forecast_program

    def ask(micro_batch: int, how: ForecastSettings) -> Forecast:
        program = described_program(
            model, micro_batch=micro_batch, optimizer=optimizer, precision=how.precision, training=how.training
        )
        return forecast_program(program, _of_a_rank(how), overhead)

    return ask


def in_steps(ask: Ask) -> Ask:
    """The same, each asked once, and large batches rounded up to a grid, by one in 64 at most.

    A search for the largest batch that fits then ends after a dozen forecasts instead of fifty.
    """

    @cache
    def asked(micro_batch: int, how: ForecastSettings) -> Forecast:
        return ask(micro_batch, how)

    return lambda micro_batch, how: asked(on_grid(micro_batch), how)


def on_grid(batch: int) -> int:
    """
    >>> [on_grid(batch) for batch in (1, 100, 127, 300, 301, 100_001)]
    [1, 100, 127, 300, 304, 100352]
    """
    step = 1 << max(0, batch.bit_length() - 7)
    return -(-batch // step) * step


def _of_a_rank(how: ForecastSettings) -> ForecastSettings:
    """A search for what fits may come to fewer ranks than the one that was asked for."""
    return how if how.rank is None else replace(how, rank=min(how.rank, how.world_size - 1))
