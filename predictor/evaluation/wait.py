"""How well a wait is told, judged as Karnak is: the mean error of the point as a share of the mean wait.

Source: Smith, "Prediction Services for Distributed Computing", IPDPS 2007, which reports 115% on TACC's Lonestar.
Mind what the figure is: who always says "no wait" errs by 100%. The point is `TargetModel.lean`, the median of the
crowd's distribution, which has the least expected absolute error; it was compared with other levels on the first 60%
of four logs (docs/log.md).
Beside it stands what a person would guess: the median wait of the jobs that started in the last hour.

The whole log is replayed in submission order. `crowdrun bench sizing --share last40` judges what no choice has seen.
"""

import bisect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array, at_logit, logit, pinball
from crowdrun.predictor.replay import replay
from crowdrun.predictor.target import TARGETS_BY_NAME

#: The share of the submissions on which choices were made; the rest is judged.
CHOSEN_ON = 0.6
REFITS = 24
HOUR_S = 3600.0
CONFIDENCES: Array = np.array([0.9, 0.95])
#: log2 and back lose the last bit.
_SLACK = 1e-9
_WAIT = TARGETS_BY_NAME["wait_s"]


def evaluate_wait(
    log: LearningLog, judged: NDArray[np.bool_] | None = None, *, seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The figures of the measured waits among the judged jobs (n,), without a choice the last 40% of the submissions.

    Those that cannot be computed are None.

    mean_error_share         of the crowd's point
    median_last_hour_share   of the median wait of the last hour's starts
    pinball                  mean over jobs and levels, log2 of (1 + s)
    coverage                 "90", "95": share of the jobs that started within the wait told with that confidence
    scored, mean_wait_s      how many jobs were judged, and how long they waited
    """
    replayed = replay(log, _WAIT, refits=REFITS, risk=0.05, seed=seed, progress=progress)
    judged = np.arange(len(log)) >= CHOSEN_ON * len(log) if judged is None else judged
    rows = np.flatnonzero(judged & log.measured(_WAIT) & replayed.predicted)
    value, told = replayed.value_log2[rows], replayed.calibrated[rows]
    wait_s = _WAIT.from_log2(value)
    point_s = _WAIT.from_log2(replayed.lean_log2[rows])
    reached = at_logit(told, logit(CONFIDENCES)) + _SLACK >= value[:, None]
    return {
        "scored": len(rows),
        "mean_wait_s": _mean(wait_s),
        "mean_error_share": mean_error_share(point_s, wait_s),
        "median_last_hour_share": mean_error_share(median_of_last_hour(log)[rows], wait_s),
        "pinball": _mean(pinball(told, value)),
        "coverage": {
            f"{level * 100:g}": _mean(column) for level, column in zip(CONFIDENCES, reached.T, strict=True)
        },
    }  # fmt: skip


def mean_error_share(told_s: Array, wait_s: Array) -> float | None:
    """Mean absolute error over the mean: (k,) and (k,), s. None where nobody waited.

    >>> mean_error_share(np.array([0.0, 0.0]), np.array([10.0, 50.0]))
    1.0
    """
    return float(np.abs(told_s - wait_s).sum() / wait_s.sum()) if wait_s.sum() > 0 else None


def median_of_last_hour(log: LearningLog) -> Array:
    """(n,) the median wait, s, of the jobs that started in the hour before each submission.

    When none did, the wait of the last that started; before the first start, 0.
    """
    wait_s = log.labels["wait_s"].to_numpy(np.float64)
    start = np.where(log.measured(_WAIT), log.known_time(_WAIT), np.inf)
    told = np.zeros(len(log))
    starts: list[float] = []
    waits: list[float] = []
    for what, row in events(log.submit_time.tolist(), start.tolist()):
        if what == "end":
            starts.append(float(start[row]))
            waits.append(float(wait_s[row]))
        elif waits:
            recent = waits[bisect.bisect_right(starts, float(log.submit_time[row]) - HOUR_S) :]
            told[row] = np.median(recent) if recent else waits[-1]
    return told


def _mean(values: Array) -> float | None:
    return float(np.mean(values)) if np.size(values) else None
