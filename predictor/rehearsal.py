"""How a new model comes to its weights, its calibration and its risk budget: it rehearses the newest part of the log.

The newest jobs are predicted in a few blocks, each by members that were fitted on what had ended before it, as they
would have been in production. What is learnt from that fades with a half-life of some 1,500 jobs (`weights.py`,
`calibration.py`), so older jobs are not rehearsed. Then the members are fitted once more, on the newest jobs there are.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.fitting import NEWEST_FITTED
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array, pinball
from crowdrun.predictor.replay import Course, Progress, begin_fits, follow, look, predict_in_blocks
from crowdrun.predictor.sizing import USUAL_RISK
from crowdrun.predictor.target import Target
from crowdrun.predictor.target_model import TargetModel
from crowdrun.predictor.target_settings import TargetSettings

#: Labelled jobs that are predicted in advance, and the fits over them.
REHEARSED = 12_000
REHEARSALS = 6
#: Ended jobs between two looks at weights and calibration: half the time of a look after each (docs/log.md).
ENDS_BETWEEN_LOOKS = 16


class Rehearsal:
    """One target's model in the making: the fits begin when it is made, `finish` waits for them."""

    def __init__(
        self, log: LearningLog, target: Target, *, seed: int, executor: Executor, settings: TargetSettings | None = None
    ) -> None:
        self.model = TargetModel(target=target, seed=seed, settings=settings or TargetSettings())
        teaches = np.flatnonzero(~np.isnan(log.values_log2(target)))
        self._labelled = len(teaches)
        first, low = (_newest(teaches, jobs) for jobs in (REHEARSED, REHEARSED + NEWEST_FITTED))
        rows = slice(low, len(log))
        seen = look(log, target, self.model.history, self.model.items, rows)
        self._course = course = Course.of(log, target, seen.features, rows)
        self._measured = log.measured(target)[rows]
        self._blocks = begin_fits(course, self.model, REHEARSALS, executor, first=first - low)
        self._last = self.model.begin_fit(course.features, course.value_log2, course.ended_by(np.inf), executor)

    def finish(self, progress: Progress | None = None) -> dict[str, Any]:
        """Let `model` learn from the rehearsal, give it the last members, and return figures for the summary."""
        course = self._course
        members = predict_in_blocks(course, self.model, self._blocks, progress=progress)
        told = follow(course, self.model, members, USUAL_RISK, ends_between_looks=ENDS_BETWEEN_LOOKS)
        self.model.take(self._last)
        scored = ~np.isnan(told.safe) & self._measured
        value = course.value_log2[scored]
        return {
            "labelled": self._labelled,
            "fitted_on": min(self._labelled, NEWEST_FITTED),
            "scored": int(scored.sum()),
            "pinball_log2": _rounded(pinball(told.calibrated[scored], value)),
            "safe_failures": _rounded((value > told.safe[scored]).astype(np.float64)),
        }


def _newest(teaches: NDArray[np.intp], jobs: int) -> int:
    """The row with which the newest so many jobs begin; 0 when there are fewer."""
    return int(teaches[-jobs]) if len(teaches) > jobs else 0


def _rounded(values: Array) -> float | None:
    return round(float(np.mean(values)), 4) if np.size(values) else None
