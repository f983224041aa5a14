"""After an attempt: whether the run goes on with another one, and with what.

A step without memory for its samples is tried with half of them at once, at the same memory; a death for want of host
memory with the next rung of the ladder; an attempt that was ended from outside is taken up where its checkpoints are,
as long as that gets it on. A program that fails by itself would fail again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from crowdrun.training.checkpoints.folder import FOLDER, newest
from crowdrun.training.job import Job
from crowdrun.training.out_of_memory import smaller
from crowdrun.training.planning.plan import Plan
from crowdrun.training.runs.records import AttemptRecord
from crowdrun.training.supervision.ending import FROM_OUTSIDE, GPU_OOM, REFUSED

#: Attempts in a row that were ended from outside and left no newer checkpoint.
MOST_IN_VAIN = 3


@dataclass(frozen=True, kw_only=True)
class Next:
    """What the next attempt gets."""

    job: Job
    mem_mb: float | None


class Again:
    """Decides after each attempt of a run."""

    def __init__(self, plan: Plan, folder: Path, *, attempts: int) -> None:
        self._plan, self._folder, self._tries_left = plan, folder, attempts - 1
        self._in_vain, self._step = 0, self._newest_step()

    def after(self, done: AttemptRecord, attempt_folder: Path, job: Job, mem_mb: float | None) -> Next | None:
        """The next attempt; None where this was the last."""
        if done.cause in (GPU_OOM, REFUSED) and (half := self._half(attempt_folder, job)):
            return Next(job=half, mem_mb=mem_mb)
        if done.outcome.state == "OUT_OF_MEMORY":
            higher = next(_higher(self._plan, done), None)
            self._tries_left -= 1
            return None if higher is None or self._tries_left < 0 else Next(job=job, mem_mb=higher)
        if done.cause in FROM_OUTSIDE and job.task and job.task.checkpoint and self._got_on():
            return Next(job=job, mem_mb=mem_mb)
        return None

    def _half(self, attempt_folder: Path, job: Job) -> Job | None:
        samples = smaller(attempt_folder) if job.task else None
        if samples is None or job.task is None:
            return None
        return replace(job, task=replace(job.task, options=replace(job.task.options, micro_batch=samples)))

    def _got_on(self) -> bool:
        step = self._newest_step()
        self._in_vain = 0 if step > self._step else self._in_vain + 1
        self._step = step
        return self._in_vain < MOST_IN_VAIN

    def _newest_step(self) -> int:
        found = newest(self._folder / FOLDER)
        return found[1].step if found else 0


def _higher(plan: Plan, done: AttemptRecord) -> Iterator[float]:
    """The rungs above what the attempt was given and above what it was seen to hold, which was not enough."""
    least = max(done.request.req_mem_mb or 0.0, done.outcome.peak_mem_mb or 0.0)
    return (rung for rung in plan.ladder if rung > least)
