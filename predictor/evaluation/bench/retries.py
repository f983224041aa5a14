"""What follows a failed attempt, for each way of retrying."""

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.baselines.families import Sized
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.metrics import Judged, Retry
from crowdrun.predictor.learning_log import numbers
from crowdrun.predictor.quantiles import Array


def usual(trace: Trace, judged: Judged) -> Retry | None:
    """What the trace's protocol says, for methods that say nothing themselves; None is doubling."""
    return _at_maximum(trace, judged) if trace.retry_at_maximum else None


def _at_maximum(trace: Trace, judged: Judged) -> Retry:
    """The largest peak of the family's jobs that had ended at the submission, then doubled."""
    log = trace.log
    largest: dict[Hashable, float] = {}
    known, peak = np.zeros(len(log)), numbers(log.jobs, "peak_mem_mb")
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        key = trace.families[row][0]
        if what == "submit":
            known[row] = largest.get(key, 0.0)
        elif trace.has_peak[row]:
            largest[key] = max(largest.get(key, 0.0), float(peak[row]))

    def retry(short: NDArray[np.intp], failed_mb: Array, attempt: int) -> Array:
        del failed_mb
        return known[judged.rows[short]] if attempt == 1 else np.zeros(len(short))

    return retry


def own(sized: Sized, judged: Judged) -> Retry:
    """The attempts that the method itself made."""

    def retry(short: NDArray[np.intp], failed_mb: Array, attempt: int) -> Array:
        del failed_mb
        return np.array([sized.later_mb[row][attempt - 1] for row in judged.rows[short].tolist()])

    return retry


def repeated(retry: Retry | None, rows: NDArray[np.intp]) -> Retry | None:
    """The same for jobs that are tried with several allocations: position i stands for the judged job rows[i % k]."""
    if retry is None:
        return None
    return lambda short, failed_mb, attempt: retry(rows[short % len(rows)], failed_mb, attempt)
