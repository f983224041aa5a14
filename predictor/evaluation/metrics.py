"""How predictions are judged: wastage, failures, what was held, coverage, accuracy of classes, pinball loss.

Judged are the jobs after the first fifth of the log (by submission, so that each rule has a history) with a known peak.
A too small allocation fails and costs all that it held for the whole run, then doubles until it fits; nothing is ever
larger than the cap, the largest request or peak of the log.

>>> tried = attempts(np.array([100.0, 400.0]), peak_mb=np.full(2, 300.0), hours=np.full(2, 1.0), cap_mb=1024.0)
>>> tried.retries.tolist(), (tried.waste_gbh * 1024).tolist(), (tried.held_log2 > 0).tolist()
([2.0, 0.0], [400.0, 100.0], [True, True])
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.baselines.known import has_peak
from crowdrun.predictor.classes import Classes
from crowdrun.predictor.evaluation.allocations import request_mb
from crowdrun.predictor.evaluation.bootstrap import Interval, Resamples
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array, at_logit, logit
from crowdrun.predictor.quantiles import pinball as pinball_loss

#: The first of so many equal parts of the log, by submission, is not judged.
PARTS = 5
SEGMENTS = 5
#: MB in a GB of 2^30 bytes.
MB_PER_GB = 1024.0
#: Positions of jobs whose attempt was too little, (j,) what they were given, which attempt that was (1 is the first)
#: -> (j,) MB of the next.
Retry = Callable[[NDArray[np.intp], Array, int], Array]
#: A value this far above a quantile, log2, still counts as reached: log2 and back lose the last bit.
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What happened to each of k jobs: float arrays (k,)."""

    waste_gbh: Array
    used_gbh: Array
    #: 1 where the first attempt was too small.
    failed: Array
    retries: Array
    #: |log2(first attempt / peak)|.
    error_log2: Array
    #: log2(sum over all attempts / peak).
    held_log2: Array


@dataclass(frozen=True, kw_only=True)
class Wastage:
    """An allocation judged on all jobs."""

    #: GB·h allocated and not used, failed attempts included.
    waste_gbh: Interval
    #: The same as a share of what the users' own requests waste.
    waste_of_request: Interval
    #: Memory allocation quality: used over used and wasted, 1 is perfect.
    maq: Interval
    first_attempt_failures: Interval
    #: Further attempts a job.
    retries: Interval
    median_abs_log2: Interval
    #: Mean log2 of the memory held over all attempts / peak: job by job, where a few huge jobs do not decide.
    held_log2: Interval


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The jobs on which memory is judged."""

    #: (k,) rows of the log.
    rows: NDArray[np.intp]
    peak_mb: Array
    hours: Array
    cap_mb: float
    resamples: Resamples
    mb_per_gb: float = MB_PER_GB

    @classmethod
    def of(cls, log: LearningLog) -> "Judged":
        rows = np.flatnonzero(has_peak(log) & late(log))
        peak = numbers(log.jobs, "peak_mem_mb")
        run = numbers(log.jobs, "end_time") - numbers(log.jobs, "start_time")
        known = np.concatenate([[0.0], peak, request_mb(log)])
        return cls(
            rows=rows, peak_mb=peak[rows], hours=run[rows] / 3600, cap_mb=float(np.nanmax(known)),
            resamples=Resamples.over_users(users(log)[rows]),
        )  # fmt: skip

    def attempts(self, allocation_mb: Array, retry: Retry | None = None) -> Attempts:
        """allocation_mb: (n,) for the whole log. retry: by position among the judged jobs; twice as much without."""
        return attempts(
            allocation_mb[self.rows], peak_mb=self.peak_mb, hours=self.hours, cap_mb=self.cap_mb, retry=retry,
            mb_per_gb=self.mb_per_gb,
        )  # fmt: skip

    def wastage(self, tried: Attempts, request: Attempts) -> Wastage:
        draw = self.resamples
        return Wastage(
            waste_gbh=draw.total(tried.waste_gbh),
            waste_of_request=draw.ratio(tried.waste_gbh, request.waste_gbh),
            maq=draw.ratio(tried.used_gbh, tried.used_gbh + tried.waste_gbh),
            first_attempt_failures=draw.mean(tried.failed),
            retries=draw.mean(tried.retries),
            median_abs_log2=draw.median(tried.error_log2),
            held_log2=draw.mean(tried.held_log2),
        )


def late(log: LearningLog) -> NDArray[np.bool_]:
    """(n,) True after the first fifth of the submissions."""
    return np.arange(len(log)) >= len(log) // PARTS


def users(log: LearningLog) -> NDArray[np.object_]:
    """(n,) the user of each job, "unknown" where the log does not tell."""
    return np.array([request.user or "unknown" for request in log.requests], dtype=object)


def attempts(
    allocation_mb: Array, *, peak_mb: Array, hours: Array, cap_mb: float, retry: Retry | None = None,
    mb_per_gb: float = MB_PER_GB,
) -> Attempts:  # fmt: skip
    """The ladder of each job; all (k,). An allocation of NaN is the cap: the job takes what there is.

    A retry that asks for no more than what has failed is twice as much.
    """
    given = np.clip(np.where(np.isnan(allocation_mb), cap_mb, allocation_mb), 1.0, cap_mb)
    first, held = given.copy(), given.copy()
    waste, retries = np.zeros(len(given)), np.zeros(len(given))
    attempt = 0
    while len(short := np.flatnonzero(given < peak_mb)):
        attempt += 1
        failed = given[short]
        waste[short] += failed / mb_per_gb * hours[short]
        retries[short] += 1
        following = retry(short, failed, attempt) if retry else 2 * failed
        given[short] = np.minimum(np.where(following > failed, following, 2 * failed), cap_mb)
        held[short] += given[short]
    return Attempts(
        waste_gbh=waste + (given - peak_mb) / mb_per_gb * hours,
        used_gbh=peak_mb / mb_per_gb * hours,
        failed=(first < peak_mb).astype(np.float64),
        retries=retries,
        error_log2=np.abs(np.log2(first / peak_mb)),
        held_log2=np.log2(held / peak_mb),
    )


def beats(one: Wastage, others: list[Wastage]) -> bool:
    """Whether each of the others that fails as rarely wastes more, in GB·h and job by job."""
    return all(
        one.waste_gbh.value < other.waste_gbh.value and one.held_log2.value < other.held_log2.value
        for other in others
        if other.first_attempt_failures.value <= one.first_attempt_failures.value
    )


def coverage(quantiles: Array, value_log2: Array, levels: Array, resamples: Resamples) -> list[Interval]:
    """Share of the k jobs that each level covers: quantiles (k, len(LEVELS)), value_log2 (k,), levels (m,)."""
    reached = at_logit(quantiles, logit(levels)).reshape(len(quantiles), -1) + _SLACK >= value_log2[:, None]
    return [resamples.mean(column.astype(np.float64)) for column in reached.T]


def accuracy_by_segment(said: Classes, truth: Classes) -> list[float]:
    """Share of right classes in SEGMENTS consecutive parts of k jobs; a class that was not said (-1) is wrong."""
    return [float(part.mean()) if len(part) else float("nan") for part in np.array_split(said == truth, SEGMENTS)]


def mean_pinball(quantiles: Array, value_log2: Array) -> float:
    """Mean pinball loss over jobs and levels, log2. quantiles: (k, len(LEVELS)), or (k, 1) for a point."""
    return float(pinball_loss(quantiles, value_log2).mean()) if len(value_log2) else float("nan")
