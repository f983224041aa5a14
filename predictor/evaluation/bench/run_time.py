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
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.replay import Replayed
from crowdrun.predictor.target import TARGETS_BY_NAME

TARGET = TARGETS_BY_NAME["run_time_s"]
_MEDIAN = LEVELS.tolist().index(0.5)


def judge_run_time(trace: Trace, scored: NDArray[np.bool_], replayed: Replayed, *, risk: float) -> dict[str, Any]:
    """Pinball losses on the jobs that all predictors speak of; coverage and the safe limit on all that the crowd does.

    A single figure counts as the same at every level. Jobs that were stopped tell only a bound, and are not scored.
    """
    log = trace.log
    measured = log.measured(TARGET)
    seconds = np.where(measured, TARGET.from_log2(replayed.value_log2), np.nan)
    request, recent = replayed.bound_log2, TARGET.to_log2(mean_of_last_two(log, seconds))
    said = scored & measured & ~abstains(replayed)
    common = np.flatnonzero(said & ~np.isnan(recent) & ~np.isnan(request))
    value = replayed.value_log2[common]
    rows = np.flatnonzero(said)
    resamples = Resamples.over_users(trace.blocks[rows], unit=trace.block_unit)
    over = resamples.mean((replayed.value_log2[rows] > replayed.safe_log2[rows] + 1e-9).astype(np.float64))
    return {
        "scored": len(rows),
        "scored_by_all": len(common),
        "methods": {
            "crowd": _point(replayed.calibrated[common], value)
            | {"over_safe_limit": over.value, "over_safe_limit_interval": [over.low, over.high], "accepted_risk": risk}
            | _coverage(replayed, rows, resamples),
            "request": _point(request[common, None], value),
            "last_two_mean": _point(recent[common, None], value),
        },
    }


def _point(quantiles: Array, value_log2: Array) -> dict[str, Any]:
    middle = quantiles[:, _MEDIAN] if quantiles.shape[1] > 1 else quantiles[:, 0]
    error = float(np.median(np.abs(middle - value_log2))) if len(value_log2) else float("nan")
    return {"pinball": mean_pinball(quantiles, value_log2), "log2_error": error}


def _coverage(replayed: Replayed, rows: NDArray[np.intp], resamples: Resamples) -> dict[str, Any]:
    figures = distribution_figures(replayed.calibrated[rows], replayed.value_log2[rows], resamples)
    return {name: figures[name] for name in ("coverage", "coverage_interval")}
