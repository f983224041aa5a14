"""How a new model comes to its weights, its calibration and its risk budget: it rehearses the newest part of the log.

The newest jobs are predicted in a few blocks, each by members that were fitted on what had ended before it, as they
would have been in production. What is learnt from that fades with a half-life of some 1,500 jobs (`weights.py`,
`calibration.py`), so older jobs are not rehearsed. Then the members are fitted once more, on the newest jobs there are.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.classes import Classes, likeliest_class
from crowdrun.predictor.evaluation.model_figures import Rehearsed, model_figures
from crowdrun.predictor.evaluation.strict_json import strict
from crowdrun.predictor.fitting import NEWEST_FITTED
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array, pinball
from crowdrun.predictor.replay import Course, Followed, Progress, begin_fits, follow, look, predict_in_blocks
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
        self._log, self._rows, self._seen = log, rows, seen
        self._course = course = Course.of(log, target, seen.features, rows)
        self._measured = log.measured(target)[rows]
        self._blocks = begin_fits(course, self.model, REHEARSALS, executor, first=first - low)
        self._last = self.model.begin_fit(course.features, course.value_log2, course.ended_by(np.inf), executor)

    def finish(self, progress: Progress | None = None) -> dict[str, Any]:
        """Let `model` learn from the rehearsal, give it the last members, and return figures for the summary."""
        course = self._course
        members = predict_in_blocks(course, self.model, self._blocks, progress=progress)
        classes = self._classes(members)
        told = follow(course, self.model, members, USUAL_RISK, classes, ends_between_looks=ENDS_BETWEEN_LOOKS)
        self._said = self._rehearsed(members, told, classes)
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

    def figures(self) -> dict[str, Any]:
        """How good the model was at the jobs of the rehearsal, once it is finished: for `figures.json`."""
        figures: dict[str, Any] = strict(model_figures(self._said))
        return figures

    def _classes(self, members: Array) -> Classes | None:
        """(members, n) the memory class that each names; None for other targets."""
        if self.model.target.name != "mem_mb":
            return None
        known = ~np.isnan(members[0, :, 0])
        classes = np.full(members.shape[:2], -1, dtype=np.int64)
        for place, one in enumerate(members):
            classes[place, known] = likeliest_class(one[known])
        return classes

    def _rehearsed(self, members: Array, told: Followed, classes: Classes | None) -> Rehearsed:
        known = ~np.isnan(told.safe)
        lean = np.full(len(known), np.nan)
        lean[known] = np.fmin(self.model.lean(told.combined[known], told.calibrated[known]), told.safe[known])
        named = {}
        if classes is not None:
            crowd = np.full(len(known), -1, dtype=np.int64)
            crowd[known] = likeliest_class(told.calibrated[known])
            named = {"mode": self._seen.class_mode, "poll": told.poll, "crowd": crowd}
            named |= dict(zip(self.model.settings.members, classes, strict=True))
        return Rehearsed(
            target=self.model.target, log=self._log, rows=self._rows, course=self._course,
            members=dict(zip(self.model.settings.members, members, strict=True)), told=told, lean_log2=lean,
            classes=named,
        )  # fmt: skip


def _newest(teaches: NDArray[np.intp], jobs: int) -> int:
    """The row with which the newest so many jobs begin; 0 when there are fewer."""
    return int(teaches[-jobs]) if len(teaches) > jobs else 0


def _rounded(values: Array) -> float | None:
    return round(float(np.mean(values)), 4) if np.size(values) else None
