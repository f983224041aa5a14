"""Forecasts of a task for the plan of a run, made in a process of their own: the task's code, torch and what they hold
are gone when the run starts."""

import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from crowdrun.api.forecasts.card import device_model
from crowdrun.data.errors import CrowdrunError, ForecastError
from crowdrun.data.forecast import Forecast, ForecastSettings
from crowdrun.data.settings import Settings
from crowdrun.predictor.gpu_memory.device import DeviceModel
from crowdrun.training.job import Job, TaskSpec
from crowdrun.training.planning.corrections import corrections
from crowdrun.training.planning.forecaster import Forecaster
from crowdrun.training.planning.layout import uses_cards
from crowdrun.training.planning.plan import Machine, Plan
from crowdrun.training.runs.attempts import Forecasting

#: A forecast that takes longer is not waited for.
PATIENCE_S = 120.0


def forecasting(settings: Settings, *, always: bool, say: Callable[[str], None]) -> Forecasting:
    """For `plan_run`: a forecaster where it can change the plan (there are GPUs, or nothing else speaks of memory), or
    always.

    say: told why there is none.
    """

    def make(job: Job, plan: Plan, machine: Machine) -> AbstractContextManager[Forecaster | None]:
        wanted = always or plan.mem_mb is None or uses_cards(plan, machine)
        return _forecaster(settings, job, machine, say) if wanted and job.task else _nothing()

    return make


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def _forecaster(
    settings: Settings, job: Job, machine: Machine, say: Callable[[str], None]
) -> Iterator[Forecaster | None]:
    if job.task is None:
        yield None
        return
    overhead = device_model(settings.correction)
    with multiprocessing.get_context("spawn").Pool(1, initializer=_quiet) as pool:

        def call(function: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return pool.apply_async(function, (job.task, job.work_dir, *arguments)).get(PATIENCE_S)
            except multiprocessing.TimeoutError:
                raise ForecastError(f"no forecast came in {PATIENCE_S:.0f} s") from None

        try:
            process_mb = call(_started)
        except Exception as error:
            # The task's own code may fail in any way; the run then tells more of it.
            say(f"no forecast: {error}")
            yield None
            return
        yield Forecaster(
            ask=lambda micro_batch, how: call(_forecast, micro_batch, how, overhead),
            margin=lambda said: overhead.margin(settings.risk, said.features),
            process_mb=process_mb,
            corrections=corrections(settings.runs_dir, machine.site, overhead.basis),
        )


def _quiet() -> None:
    """What the task's code prints is no output of ours."""
    os.dup2(2, 1)


def _started(task: TaskSpec, work_dir: Path) -> float:
    """Host memory of this process with torch and the task loaded and a small step taken, MB. The first step loads
    kernels and optimisers: 90 MB of 310, where the largest step of a small task needs 5."""
    _program(task.target, work_dir)
    _small_step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forecast(
    task: TaskSpec, work_dir: Path, micro_batch: int, how: ForecastSettings, overhead: DeviceModel
) -> Forecast:
    from crowdrun.predictor.gpu_memory.forecast import forecast_program
    from crowdrun.predictor.gpu_memory.task import task_program

    try:
        program = task_program(
            _program(task.target, work_dir), task.options, micro_batch=micro_batch, training=how.training
        )
        return forecast_program(program, how, overhead)
    except CrowdrunError:
        raise
    except Exception as error:
        raise ForecastError(f"the task failed while it was forecast: {type(error).__name__}: {error}") from None


def _small_step() -> None:
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4))
    optimizer = torch.optim.AdamW(model.parameters())
    torch.autograd.backward(model(torch.randn(2, 3, 8, 8)).sum())
    optimizer.step()


@cache
def _program(target: str, work_dir: Path) -> Any:
    from crowdrun.training.task_loader import load_task

    return load_task(target, work_dir=work_dir)
