"""A run: attempt after attempt, each measured and recorded, until one ends well or there is no use in another."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from crowdrun.data.errors import ConfigError
from crowdrun.data.job import JobOutcome, JobRequest, Recommendation
from crowdrun.training.job import Job, to_request
from crowdrun.training.launch.base import Attempt, Ended, Launcher, mark_of
from crowdrun.training.launch.own_job import OwnJob
from crowdrun.training.planning.forecaster import Forecaster
from crowdrun.training.planning.layout import planned_job, with_layout
from crowdrun.training.planning.plan import Machine, Plan, make_plan
from crowdrun.training.runs.again import Again, Next
from crowdrun.training.runs.job_file import write_job
from crowdrun.training.runs.lost import lost_attempts, write_given
from crowdrun.training.runs.outcome import read_result
from crowdrun.training.runs.records import (
    PLAN_FILE,
    AttemptRecord,
    RunRecord,
    last_number,
    new_run_folder,
    read_attempts,
    under_way,
    write_record,
)

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
    resume: Path | None = None,
    slurm_job: OwnJob | None = None,
) -> RunRecord:
    """Run a job to its end.

    `again.py` says after which ends there is another attempt. attempts: how many may die for want of host memory.
    resume: the folder of a run that has been under way, which goes on. slurm_job: whose script runs this.

    Raises:
        ConfigError: attempts is below 1.
        LaunchError: it could not be started.
    """
    if attempts < 1:
        raise ConfigError(f"attempts is {attempts}; it must be 1 or more")
    told = listener or Listener()
    folder = resume or new_run_folder(runs_dir, job.name, now=datetime.now(UTC))
    with launcher.listening(), under_way(folder):
        record = replace(plan_run(job, launcher, recommend, folder, forecasting), slurm_job=slurm_job)
        if resume:
            launcher.see_off(mark_of(record.run_id, last_number(folder)))
            record = replace(record, attempts=read_attempts(folder))
        else:
            write_record(record, name=PLAN_FILE)
        told.planned(record)
        record = _with_lost(record, job.resources.nodes, keep, told)
        return _to_its_end(planned_job(job, record.plan), launcher, record, keep, attempts, told)


def _to_its_end(
    job: Job, launcher: Launcher, record: RunRecord, keep: Record, attempts: int, told: Listener
) -> RunRecord:
    folder = record.folder
    again = Again(record.plan, folder, attempts=attempts)
    following: Next | None = Next(job=job, mem_mb=record.plan.mem_mb)
    while following:
        write_job(following.job, folder)
        attempt = _attempt(following.job, record, last_number(folder) + 1, following.mem_mb)
        write_given(folder, attempt.number, _given(attempt, record.request))
        told.started(attempt)
        done = _done(attempt, record.request, launcher.run(attempt, told.tick))
        record = replace(record, attempts=(*record.attempts, done), result=read_result(attempt.folder))
        write_record(record)
        keep(done.request, done.outcome)
        told.ended(done)
        following = again.after(done, attempt.folder, attempt.job, attempt.mem_mb)
        if following and launcher.told_to_leave:
            write_job(following.job, folder)
            return replace(record, goes_on=True)
    return record


def _with_lost(record: RunRecord, nodes: int, keep: Record, told: Listener) -> RunRecord:
    """Also with the attempts whose runner was killed. Kept first: killed now, the same is kept again, which the store
    knows by its id and time."""
    lost = lost_attempts(record, nodes=nodes)
    if not lost:
        return record
    for one in lost:
        keep(one.request, one.outcome)
    record = replace(record, attempts=tuple(sorted((*record.attempts, *lost), key=lambda one: one.number)))
    write_record(record)
    for one in lost:
        told.ended(one)
    return record


def _given(attempt: Attempt, asked: JobRequest) -> JobRequest:
    """What an attempt gets of what was asked for."""
    return replace(
        asked,
        req_mem_mb=attempt.mem_mb,
        req_gpus=attempt.plan.gpus,
        timelimit_s=attempt.plan.timelimit_s,
        submit_time=asked.submit_time if attempt.number == 1 else time.time(),
    )


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
        _given(attempt, asked),
        job_id=ended.job_id,
        submit_time=ended.submit_time or (asked.submit_time if attempt.number == 1 else ended.outcome.start_time),
    )
    return AttemptRecord(
        number=attempt.number, request=given, outcome=ended.outcome, cause=ended.cause, status=ended.status
    )
