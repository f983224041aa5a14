"""Run time: the crowd beside what schedulers plan with, and whether its safe limit keeps the accepted risk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.baselines.rules import mean_of_last_two
from crowdrun.predictor.evaluation.allocations import abstains
from crowdrun.predictor.evaluation.bench.host_memory import distribution_figures
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.bootstrap import Resamples
from crowdrun.predictor.evaluation.metrics import mean_pinball
from crowdrun.predictor.learning_log import numbers
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.replay import Replayed
from crowdrun.predictor.target import TARGETS_BY_NAME

TARGET = TARGETS_BY_NAME["run_time_s"]
_MEDIAN = LEVELS.tolist().index(0.5)


def judge_run_time(trace: Trace, scored: NDArray[np.bool_], replayed: Replayed, *, risk: float) -> dict[str, Any]:
    """Pinball losses on the jobs that all predictors speak of; coverage and the safe limit on all that the crowd does.

    A single figure counts as the same at every level. Jobs that were stopped tell only a bound and are not scored, but
    for `over_safe_limit_with_stopped`: there a stopped job is over the limit if it had run longer than that. Whether
    one that was stopped earlier would have, nobody knows: that share is the least that can have been over.
    """
    log = trace.log
    measured = log.measured(TARGET)
    seconds = np.where(measured, TARGET.from_log2(replayed.value_log2), np.nan)
    request, recent = replayed.bound_log2, TARGET.to_log2(mean_of_last_two(log, seconds))
    ran = ~np.isnan(replayed.value_log2)
    said = scored & measured & ~abstains(replayed)
    common = np.flatnonzero(said & ~np.isnan(recent) & ~np.isnan(request))
    value = replayed.value_log2[common]
    rows = np.flatnonzero(said)
    resamples = Resamples.over_users(trace.blocks[rows], unit=trace.block_unit)
    over = resamples.mean(_over_safe_limit(trace, replayed, rows))
    with_stopped = _over_safe_limit(trace, replayed, np.flatnonzero(scored & ran & ~abstains(replayed)))
    return {
        "scored": len(rows),
        "scored_by_all": len(common),
        "stopped": int((scored & ran & ~measured).sum()),
        "methods": {
            "crowd": _point(replayed.calibrated[common], value)
            | {
                "over_safe_limit": over.value,
                "over_safe_limit_interval": [over.low, over.high],
                "over_safe_limit_with_stopped": float(with_stopped.mean()),
                "accepted_risk": risk,
            }
            | _coverage(replayed, rows, resamples),
            "request": _point(request[common, None], value),
            "last_two_mean": _point(recent[common, None], value),
        },
    }


def _over_safe_limit(trace: Trace, replayed: Replayed, rows: NDArray[np.intp]) -> Array:
    """(k,) 1 for the rows that had run longer than the crowd's safe limit when they ended or were stopped."""
    run_time = numbers(trace.log.jobs, "end_time") - numbers(trace.log.jobs, "start_time")
    return (TARGET.to_log2(run_time[rows]) > replayed.safe_log2[rows] + 1e-9).astype(np.float64)


def _point(quantiles: Array, value_log2: Array) -> dict[str, Any]:
    middle = quantiles[:, _MEDIAN] if quantiles.shape[1] > 1 else quantiles[:, 0]
    error = float(np.median(np.abs(middle - value_log2))) if len(value_log2) else float("nan")
    return {"pinball": mean_pinball(quantiles, value_log2), "log2_error": error}


def _coverage(replayed: Replayed, rows: NDArray[np.intp], resamples: Resamples) -> dict[str, Any]:
    figures = distribution_figures(replayed.calibrated[rows], replayed.value_log2[rows], resamples)
    return {name: figures[name] for name in ("coverage", "coverage_interval")}
