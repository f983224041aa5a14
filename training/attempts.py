"""A run: attempt after attempt up the memory ladder, each measured and recorded.

The first that does not die for want of host memory is the last.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from crowdrun.data.errors import ConfigError
from crowdrun.data.job import JobOutcome, JobRequest, Recommendation
from crowdrun.training.job import Job, to_request
from crowdrun.training.launch.base import Attempt, Ended, Launcher
from crowdrun.training.outcome import read_result
from crowdrun.training.planning.forecaster import Forecaster
from crowdrun.training.planning.layout import planned_job, with_layout
from crowdrun.training.planning.plan import Machine, Plan, make_plan
from crowdrun.training.runs import PLAN_FILE, AttemptRecord, RunRecord, new_run_folder, write_record

#: What says how much a job needs; None when it has nothing to say.
Recommend = Callable[[JobRequest], Recommendation | None]
#: What forecasts the memory of a task for a plan, as long as the context lasts; None has nothing to say.
Forecasting = Callable[[Job, Plan, Machine], AbstractContextManager[Forecaster | None]]
#: What keeps the outcome of each attempt.
Record = Callable[[JobRequest, JobOutcome], None]


class Listener:
    """Who is told how the run goes; this one lets it pass."""

    def planned(self, record: RunRecord) -> None:
        """Before the first attempt."""

    def started(self, attempt: Attempt) -> None:
        """An attempt is about to start."""

    def tick(self) -> None:
        """About twice a second while an attempt is under way."""

    def ended(self, attempt: AttemptRecord) -> None:
        """It ended, and its outcome is kept."""


def no_forecast(job: Job, plan: Plan, machine: Machine) -> AbstractContextManager[Forecaster | None]:
    """Plans without one."""
    del job, plan, machine
    return nullcontext()


def plan_run(
    job: Job, launcher: Launcher, recommend: Recommend, folder: Path, forecasting: Forecasting = no_forecast
) -> RunRecord:
    """The request, what is recommended and forecast for it, and the plan; nothing is made or started."""
    request = to_request(job, submit_time=time.time())
    recommendation = recommend(request)
    machine = launcher.machine()
    plan = make_plan(request, recommendation, machine, adaptable=job.task is not None)
    with forecasting(job, plan, machine) as forecaster:
        plan = with_layout(plan, job, machine, forecaster)
    return RunRecord(
        run_id=folder.name, folder=folder, request=request, recommendation=recommendation, plan=plan, site=machine.site
    )


def first_attempt(job: Job, record: RunRecord) -> Attempt:
    """What would be started first."""
    return _attempt(planned_job(job, record.plan), record, 1, record.plan.mem_mb)


def run_job(
    job: Job,
    launcher: Launcher,
    *,
    runs_dir: Path,
    recommend: Recommend,
    keep: Record,
    forecasting: Forecasting = no_forecast,
    attempts: int = 3,
    listener: Listener | None = None,
) -> RunRecord:
    """Run a job to its end.

    Only a death for want of host memory leads to another attempt, with the next rung of the plan's ladder.

    Raises:
        ConfigError: attempts is below 1.
        LaunchError: it could not be started.
    """
    if attempts < 1:
        raise ConfigError(f"attempts is {attempts}; it must be 1 or more")
    told = listener or Listener()
    folder = new_run_folder(runs_dir, job.name, now=datetime.now(UTC))
    record = plan_run(job, launcher, recommend, folder, forecasting)
    job = planned_job(job, record.plan)
    write_record(record, name=PLAN_FILE)
    told.planned(record)
    mem_mb: float | None = record.plan.mem_mb
    for number in range(1, attempts + 1):
        attempt = _attempt(job, record, number, mem_mb)
        told.started(attempt)
        done = _done(attempt, record.request, launcher.run(attempt, told.tick))
        record = replace(record, attempts=(*record.attempts, done), result=read_result(attempt.folder))
        write_record(record)
        keep(done.request, done.outcome)
        told.ended(done)
        mem_mb = next(_higher(record.plan, done), None)
        if done.outcome.state != "OUT_OF_MEMORY" or mem_mb is None:
            break
    return record


def _attempt(job: Job, record: RunRecord, number: int, mem_mb: float | None) -> Attempt:
    return Attempt(
        run_id=record.run_id,
        number=number,
        job=job,
        plan=record.plan,
        mem_mb=mem_mb,
        folder=record.folder / f"attempt-{number}",
    )


def _done(attempt: Attempt, asked: JobRequest, ended: Ended) -> AttemptRecord:
    """In the log stands what the attempt was given, as in a scheduler's."""
    given = replace(
        asked,
        job_id=ended.job_id,
        req_mem_mb=attempt.mem_mb,
        req_gpus=attempt.plan.gpus,
        timelimit_s=attempt.plan.timelimit_s,
        submit_time=ended.submit_time or (asked.submit_time if attempt.number == 1 else ended.outcome.start_time),
    )
    return AttemptRecord(
        number=attempt.number, request=given, outcome=ended.outcome, cause=ended.cause, status=ended.status
    )


def _higher(plan: Plan, done: AttemptRecord) -> Iterator[float]:
    """The rungs above what the attempt was given and above what it was seen to hold, which was not enough."""
    least = max(done.request.req_mem_mb or 0.0, done.outcome.peak_mem_mb or 0.0)
    return (rung for rung in plan.ladder if rung > least)
