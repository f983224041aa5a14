"""A crowd taken through jobs as they were submitted and ended: it predicts at a submission and learns at an end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS, Array, pinball
from crowdrun.predictor.target import Target

#: Ends after which the crowd looks anew: submissions in between are answered together, with what it knew.
ENDS_BETWEEN_LOOKS = 8
#: Jobs that are predicted at once where nothing is learnt in between.
_TOGETHER = 256
#: Told the share that is done, 0 to 1.
Progress = Callable[[float], None]
WATCHED_LEVEL = 0.95
_WATCHED = LEVELS.tolist().index(WATCHED_LEVEL)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What was said of one target of n jobs, each at its submission; NaN where nothing was, or was not to be judged."""

    target: Target
    #: (n,) what the job then used, log2; NaN where it was not measured.
    value_log2: Array
    #: (n, len(LEVELS)) log2.
    quantiles: Array
    #: (n,) the safe figure, in the unit of the target.
    safe: Array

    def rows(self, index: NDArray[np.bool_]) -> "Said":
        return Said(
            target=self.target, value_log2=self.value_log2[index], quantiles=self.quantiles[index],
            safe=self.safe[index],
        )  # fmt: skip

    @property
    def judged(self) -> NDArray[np.bool_]:
        return ~(np.isnan(self.value_log2) | np.isnan(self.safe))

    @property
    def loss(self) -> Array:
        """(n,) pinball loss, the mean over the levels, log2."""
        return np.asarray(pinball(self.quantiles, self.value_log2).mean(axis=1))

    @property
    def covered(self) -> Array:
        """(n,) 1 where the job used no more than the WATCHED_LEVEL quantile, else 0; NaN where it was not judged."""
        held = self.value_log2 <= self.quantiles[:, _WATCHED] + 1e-9
        return np.where(self.judged, held.astype(np.float64), np.nan)


@dataclass(frozen=True, kw_only=True)
class Course:
    """Jobs in the order of their submission, and which of them are to be predicted."""

    log: LearningLog
    #: (n,) True: predicted at its submission; all are learnt from at their end.
    judged: NDArray[np.bool_]

    @classmethod
    def of(cls, jobs: pd.DataFrame, *, judged_from: float = -np.inf) -> "Course":
        """jobs: canonical columns; those submitted at `judged_from` (UTC epoch seconds) or later are predicted."""
        log = LearningLog.of(jobs)
        return cls(log=log, judged=log.submit_time >= judged_from)


def follow(crowd: Crowd, course: Course, progress: Progress | None = None) -> dict[str, Said]:
    """Target -> what the crowd said of it; the crowd has learnt from all that ended in the end."""
    log = course.log
    said = {name: _nothing(log, model.target) for name, model in crowd.models.items()}
    rows: list[dict[str, Any]] = log.jobs.to_dict("records")  # type: ignore[assignment]  # the columns are names
    for asked, ended in _looks(course):
        _ask(crowd, log, asked, said)
        if ended:
            crowd.observe_many([rows[row] for row in ended])
        if progress and asked:
            progress(asked[-1] / len(log))
    return said


def frozen(crowd: Crowd, course: Course) -> dict[str, Said]:
    """The same without learning: what the crowd would say as it is now, had all jobs been submitted this moment.

    The clock stands still as well: to a crowd that learns nothing its knowledge would seem older with each job, which
    no crowd has seen in its training.
    """
    said = {name: _nothing(course.log, model.target) for name, model in crowd.models.items()}
    rows = np.flatnonzero(course.judged).tolist()
    for start in range(0, len(rows), _TOGETHER):
        _ask(crowd, course.log, rows[start : start + _TOGETHER], said, now=_newest(crowd))
    return said


def _nothing(log: LearningLog, target: Target) -> Said:
    value = np.where(log.measured(target), log.values_log2(target), np.nan)
    return Said(
        target=target, value_log2=value, quantiles=np.full((len(log), len(LEVELS)), np.nan),
        safe=np.full(len(log), np.nan),
    )  # fmt: skip


def _looks(course: Course) -> list[tuple[list[int], list[int]]]:
    """Submissions that are answered together, and then the ends that are learnt from."""
    looks: list[tuple[list[int], list[int]]] = [([], [])]
    for what, row in events(course.log.submit_time.tolist(), course.log.end_time.tolist()):
        if len(looks[-1][1]) >= ENDS_BETWEEN_LOOKS:
            looks.append(([], []))
        asked, ended = looks[-1]
        if what == "end":
            ended.append(row)
        elif course.judged[row]:
            asked.append(row)
    return looks


def _newest(crowd: Crowd) -> float:
    """The end of the newest job that it learnt from, UTC epoch seconds."""
    return max(model.history.newest_time for model in crowd.models.values())


def _ask(
    crowd: Crowd, log: LearningLog, rows: Sequence[int], said: Mapping[str, Said], now: float | None = None
) -> None:
    requests = [log.requests[row] for row in rows]
    if now is not None:
        requests = [replace(request, submit_time=now) for request in requests]
    for row, answer in zip(rows, crowd.recommend_many(requests), strict=True):
        for name, prediction in answer.predictions.items():
            target = said[name].target
            said[name].quantiles[row] = target.to_log2(np.array(list(prediction.quantiles.values())))
            said[name].safe[row] = prediction.safe
