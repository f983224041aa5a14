"""Joins the steps of sacct to their job: how much memory the whole job held, and whether it died for want of it.

MaxRSS is that of the largest TASK of a step (`man sacct`), not of the step. The rules, best first:

1. `TRESUsageInTot`'s mem: the sum over the tasks of each one's peak.
2. `AveRSS` x `NTasks`: the same sum, from the mean.
3. `MaxRSS` x `NTasks`: as if all tasks were as large as the largest. Not the truth but a bound from above; the ranks of
   a training job are alike, and too much costs less than a job that dies.
4. `MaxRSS` alone, where the log has no `NTasks`: right for one task, too low for more.

The peak of the job is that of its largest step: steps mostly come one after the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct_values import Columns, Floats
from crowdrun.data.states import normalise

Bools = NDArray[np.bool_]

REQUEUED = "earlier run of a requeued job kept as a row of its own"
JOINED = "steps joined to their job"
LARGEST_TIMES_TASKS = "peak of a step is its largest task times its tasks (no TRESUsageInTot)"
LARGEST_TASK = "peak of a step is its largest task alone (no NTasks)"
STEP_OUT_OF_MEMORY = "a step ran out of memory, the job went on: OUT_OF_MEMORY"
SAMPLING_KILL = "a step was killed above its memory by sampling: OUT_OF_MEMORY"


@dataclass(frozen=True, kw_only=True)
class JobUsage:
    """Of each job in the block, from its steps and its own line; NaN where the log does not tell."""

    peak_mem_mb: Floats
    peak_gpu_mem_mb: Floats
    #: 0 to 1.
    gpu_util: Floats
    out_of_memory: Bools


def join_steps(
    jobs: Columns, steps: Columns, owner: NDArray[np.int64], req_mem_mb: Floats, report: ReadReport
) -> JobUsage:
    """`owner` is the place in `jobs` of each step, non-decreasing; req_mem_mb is the request of each job, MB."""
    peaks = _step_peaks(steps, owner, report)
    by_job = _Grouped(owner, len(jobs))
    report.repaired[JOINED] += by_job.count
    in_step = steps.mapped("state", lambda text: normalise(text) == "OUT_OF_MEMORY", False)
    killed = steps.mapped("state", lambda text: text == "CANCELLED by 0", False)
    killed &= steps.mapped("exitcode", lambda text: text == "0:9", False)
    killed &= peaks > req_mem_mb[owner]
    own_state = jobs.mapped("state", lambda text: normalise(text) == "OUT_OF_MEMORY", False)
    step_died, step_killed = by_job.any(in_step) & ~own_state, by_job.any(killed) & ~own_state
    report.repaired[STEP_OUT_OF_MEMORY] += int(step_died.sum())
    report.repaired[SAMPLING_KILL] += int((step_killed & ~step_died).sum())
    own_peaks = np.fmax(jobs.usage_mb("tresusageintot", "mem"), jobs.sizes_mb("maxrss"))
    gpu = [_gpu_usage(columns) for columns in (jobs, steps)]
    return JobUsage(
        peak_mem_mb=np.fmax(own_peaks, by_job.largest(peaks)),
        peak_gpu_mem_mb=np.fmax(gpu[0][0], by_job.largest(gpu[1][0])),
        gpu_util=np.fmax(gpu[0][1], by_job.largest(gpu[1][1])) / 100,
        out_of_memory=own_state | step_died | step_killed,
    )


def _step_peaks(steps: Columns, owner: NDArray[np.int64], report: ReadReport) -> Floats:
    total, largest = steps.usage_mb("tresusageintot", "mem"), steps.sizes_mb("maxrss")
    tasks = steps.mapped("ntasks", float, np.nan)
    # The script of the job is one task, also where the log does not say so.
    tasks[np.isnan(tasks) & steps.is_batch()] = 1
    by_mean = steps.sizes_mb("averss") * tasks
    left = np.isnan(total) & np.isnan(by_mean) & (largest > 0)
    many, unknown = left & (tasks > 1), left & np.isnan(tasks)
    report.repaired[LARGEST_TIMES_TASKS] += len(np.unique(owner[many]))
    report.repaired[LARGEST_TASK] += len(np.unique(owner[unknown]))
    peaks = np.where(many, largest * tasks, largest)
    # The sums are of the tasks' peaks, so never less than the largest task; rounding of the mean may say otherwise.
    return np.fmax(peaks, np.where(np.isnan(total), by_mean, total))


def _gpu_usage(columns: Columns) -> tuple[Floats, Floats]:
    mean_of = "tresusageinave" if "tresusageinave" in columns else "tresusageinmax"
    return columns.usage_mb("tresusageinmax", "gres/gpumem"), columns.usage_number(mean_of, "gres/gpuutil")


class _Grouped:
    """Values of steps to one value a job."""

    def __init__(self, owner: NDArray[np.int64], jobs: int) -> None:
        self._owners, self._begins = np.unique(owner, return_index=True)
        self._jobs = jobs

    @property
    def count(self) -> int:
        return len(self._owners)

    def largest(self, values: Floats) -> Floats:
        result = np.full(self._jobs, np.nan)
        if len(values):
            result[self._owners] = np.fmax.reduceat(values, self._begins)
        return result

    def any(self, values: Bools) -> Bools:
        result = np.zeros(self._jobs, bool)
        if len(values):
            result[self._owners] = np.logical_or.reduceat(values, self._begins)
        return result
