"""GPU count: the crowd beside the request, "the same as last time" and "always 1"."""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.evaluation.allocations import abstains
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.bootstrap import Resamples
from crowdrun.predictor.learning_log import numbers
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.replay import Replayed
from crowdrun.predictor.target import TARGETS_BY_NAME

TARGET = TARGETS_BY_NAME["gpus"]


def judge_gpu_count(trace: Trace, scored: NDArray[np.bool_], replayed: Replayed) -> dict[str, Any]:
    """The figures of every method on the jobs of `scored` (n,) whose count was measured."""
    log = trace.log
    held = np.where(log.measured(TARGET), numbers(log.jobs, "alloc_gpus"), np.nan)
    last, varied = last_time(trace, held)
    request = numbers(log.jobs, "req_gpus")
    said = {
        "crowd": _told(replayed, replayed.safe_log2, request),
        "crowd_median": _told(replayed, replayed.calibrated[:, LEVELS.tolist().index(0.5)], request),
        "request": request,
        "same_as_last": np.where(np.isnan(last), request, last),
        "always_1": np.ones(len(log)),
    }
    rows = np.flatnonzero(scored & ~np.isnan(held))
    resamples = Resamples.over_users(trace.blocks[rows], unit=trace.block_unit)
    # Where the user's jobs always held the same, "the same as last time" is right but for a change of habit.
    hard, gpu = varied[rows], held[rows] > 0
    return {
        "scored": len(rows),
        "scored_where_it_varies": int(hard.sum()),
        "scored_gpu_jobs": int(gpu.sum()),
        "methods": {
            name: _figures(one[rows], held[rows], hard, gpu, resamples) for name, one in said.items()
        },
    }  # fmt: skip


def _told(replayed: Replayed, value_log2: Array, request: Array) -> Array:
    """The whole number that a person is told; the request where the crowd abstains."""
    return np.where(abstains(replayed), request, np.round(TARGET.from_log2(value_log2)))


def _figures(
    said: Array, held: Array, hard: NDArray[np.bool_], gpu: NDArray[np.bool_], resamples: Resamples
) -> dict[str, Any]:
    right, under = (said == held).astype(np.float64), (said < held).astype(np.float64)
    figures: dict[str, Any] = {}
    for name, value, chosen in (
        ("accuracy", right, np.ones(len(held), dtype=np.bool_)),
        ("accuracy_where_it_varies", right, hard),
        ("accuracy_gpu_jobs", right, gpu),
        ("under", under, np.ones(len(held), dtype=np.bool_)),
        ("under_gpu_jobs", under, gpu),
    ):
        share = resamples.of(chosen).mean(value[chosen])
        figures |= {name: share.value, f"{name}_interval": [share.low, share.high]}
    return figures


def last_time(trace: Trace, held: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(n,) the count of the user's last ended job, NaN without one; (n,) whether the ended ones held different counts.

    held: (n,), NaN where not measured.
    """
    log = trace.log
    last, varied = np.full(len(log), np.nan), np.zeros(len(log), dtype=np.bool_)
    counts: defaultdict[str | None, list[float]] = defaultdict(list)
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        known = counts[log.requests[row].user]
        if what == "end" and not np.isnan(held[row]):
            # The last one stays last; of the others only whether they were different matters.
            known[:] = [*{*known, held[row]} - {held[row]}, held[row]]
        elif what == "submit" and known:
            last[row], varied[row] = known[-1], len(known) > 1
    return last, varied
