"""The published model on the jobs that came since: how its coverage is, and what drifted."""

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.retraining.drift import Alarm, alarms
from crowdrun.predictor.retraining.follow import Course, Progress, Said, follow, frozen
from crowdrun.predictor.retraining.triggers import Coverage, Watched


def watch(crowd: Crowd, course: Course, *, newest: int, progress: Progress | None = None) -> Watched:
    """Take the crowd through the jobs: first as it is, then learning as it goes, so that it is another one afterwards.

    Only the `newest` of them count, those that ended since a retraining was tried last. Waits are not watched: they
    change with the queue all day, and nobody looked at it here.
    """
    counts = np.argsort(np.argsort(-course.log.end_time, kind="stable"), kind="stable") < newest
    known = {name: set(model.history.trails) for name, model in crowd.models.items() if not model.target.is_wait}
    noticed: list[Alarm] = []
    as_it_is = frozen(crowd, course)
    for name, families in known.items():
        noticed += alarms(course.log, as_it_is[name], families)
    learning = follow(crowd, course, progress)
    coverage = {name: _coverage(learning[name], counts) for name in known}
    return Watched(coverage=coverage, alarms=[alarm for alarm in noticed if counts[alarm.row]])


def _coverage(said: Said, counts: NDArray[np.bool_]) -> Coverage:
    covered = said.covered[counts]
    judged = int((~np.isnan(covered)).sum())
    return Coverage(judged=judged, share=float(np.nanmean(covered)) if judged else 1.0)
