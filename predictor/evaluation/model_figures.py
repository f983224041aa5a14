"""How good a published model is, from the rehearsal that made it: `figures.json` in its folder, one entry a target.

In the rehearsal each job was predicted by members that were fitted on what had ended before it, with the weights and
the calibration of that moment: what was said is a prediction of a job that nobody had seen. The members that answer
now were fitted once more, on all there is; there are no unseen jobs to judge these on.

Judged are the jobs after the first fifth of the rehearsed ones, so that weights and calibration have a past.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.labels import believable_request_mb
from crowdrun.predictor.baselines.known import has_peak
from crowdrun.predictor.classes import Classes, class_of_value
from crowdrun.predictor.evaluation.bootstrap import Resamples
from crowdrun.predictor.evaluation.metrics import PARTS, Attempts, attempts, coverage, mean_pinball
from crowdrun.predictor.evaluation.savings import savings
from crowdrun.predictor.explanation.evidence import FIRST_UNRELATED
from crowdrun.predictor.features import NUMERIC_NAMES
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.replay import Course, Followed
from crowdrun.predictor.target import Target

Figures = dict[str, Any]
SEGMENTS = 5
#: Levels whose coverage is told.
TOLD_LEVELS: Array = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99])
#: The level whose coverage is watched over time.
WATCHED_LEVEL = 0.95
_RELATION = NUMERIC_NAMES.index("anchor_relation")


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What was said of n consecutive jobs of a log, log2; NaN (-1 for a class) where nothing was."""

    target: Target
    log: LearningLog
    #: Of the log, that the n jobs are.
    rows: slice
    course: Course
    #: Name of a member -> (n, levels).
    members: dict[str, Array]
    told: Followed
    lean_log2: Array
    #: Who named a memory class -> (n,); empty for other targets.
    classes: dict[str, Classes]

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """Of the n jobs, those that were predicted, without the first fifth of them."""
        rows = np.flatnonzero(~np.isnan(self.told.safe))
        return rows[len(rows) // PARTS :]

    @cached_property
    def measured(self) -> NDArray[np.intp]:
        """Of these, the ones whose target was measured."""
        return self.predicted[self.log.measured(self.target)[self.rows][self.predicted]]

    def column(self, name: str, rows: NDArray[np.intp]) -> Array:
        return numbers(self.log.jobs, name)[self.rows][rows]

    def names(self, column: str, rows: NDArray[np.intp]) -> NDArray[np.object_]:
        """Texts of a column, None where unknown."""
        if column not in self.log.jobs:
            return np.full(len(rows), None, dtype=object)
        texts = self.log.jobs[column].to_numpy(dtype=object)[self.rows][rows]
        return np.array([text if isinstance(text, str) and text else None for text in texts], dtype=object)

    def resamples(self, rows: NDArray[np.intp]) -> Resamples:
        return Resamples.over_users(self.names("user", rows).astype(str))

    def given_mb(self, value_log2: Array, rows: NDArray[np.intp]) -> Array:
        """MB that jobs are given: what was said, or their own request where there was nothing to go on."""
        unrelated = self.course.features.numeric[rows, _RELATION] >= FIRST_UNRELATED
        said = np.ceil(self.target.from_log2(value_log2[rows]) - 1e-6)
        return np.where(unrelated, self.requests_mb(rows), said)

    def requests_mb(self, rows: NDArray[np.intp]) -> Array:
        return believable_request_mb(self.log.jobs)[self.rows][rows]


def model_figures(said: Rehearsed) -> Figures:
    """Everything that `figures.json` holds of one target; JSON can hold it."""
    rows = said.measured
    submitted = said.course.submit_time[rows]
    figures: Figures = {
        "judged": len(rows),
        "first_submit_time": float(submitted[0]) if len(rows) else None,
        "last_submit_time": float(submitted[-1]) if len(rows) else None,
    }
    if not len(rows):
        return figures
    figures |= {
        "coverage": _coverage(said),
        "pinball": {"crowd": mean_pinball(said.told.calibrated[rows], said.course.value_log2[rows])}
        | {name: mean_pinball(one[rows], said.course.value_log2[rows]) for name, one in said.members.items()},
        "segments": [_segment(said, part) for part in np.array_split(rows, SEGMENTS) if len(part)],
    }
    if said.classes:
        figures["accuracy"] = _accuracy(said, rows)
    if said.target.name == "mem_mb":
        figures["savings"] = _savings(said)
    return figures


def _coverage(said: Rehearsed) -> list[Figures]:
    rows = said.measured
    quantiles, value = _as_told(said, rows), said.course.value_log2[rows]
    shares = coverage(quantiles, value, TOLD_LEVELS, said.resamples(rows))
    return [{"level": level, **asdict(share)} for level, share in zip(TOLD_LEVELS.tolist(), shares, strict=True)]


def _as_told(said: Rehearsed, rows: NDArray[np.intp]) -> Array:
    """Calibrated, and in whole numbers where the target is one: 1.9 GPUs are told as 2."""
    quantiles, target = said.told.calibrated[rows], said.target
    return target.to_log2(np.round(target.from_log2(quantiles))) if target.whole else quantiles


def _segment(said: Rehearsed, rows: NDArray[np.intp]) -> Figures:
    """One stretch of the judged jobs, in the order of their submission."""
    value, watched = said.course.value_log2[rows], LEVELS.tolist().index(WATCHED_LEVEL)
    segment = {
        "jobs": len(rows),
        "first_submit_time": float(said.course.submit_time[rows[0]]),
        "covered": float((value <= _as_told(said, rows)[:, watched] + 1e-9).mean()),
        "pinball": mean_pinball(said.told.calibrated[rows], value),
    }
    return segment | ({"accuracy": _accuracy(said, rows)} if said.classes else {})


def _accuracy(said: Rehearsed, rows: NDArray[np.intp]) -> dict[str, float]:
    """Share of the jobs whose memory class each one named."""
    truth = class_of_value(said.course.value_log2[rows])
    return {name: float((named[rows] == truth).mean()) for name, named in said.classes.items()}


def _savings(said: Rehearsed) -> Figures:
    """What the jobs' own requests wasted, and what they would have wasted with what was said."""
    rows = said.predicted[has_peak(said.log)[said.rows][said.predicted]]
    peak = said.column("peak_mem_mb", rows)
    hours = (said.column("end_time", rows) - said.column("start_time", rows)) / 3600
    cap = float(np.nanmax(np.concatenate([[1.0], peak, said.requests_mb(rows)])))

    def tried(given_mb: Array) -> Attempts:
        return attempts(given_mb, peak_mb=peak, hours=hours, cap_mb=cap)

    ways = {
        "request": tried(said.requests_mb(rows)),
        "safe": tried(said.given_mb(said.told.safe, rows)),
        "lean": tried(said.given_mb(said.lean_log2, rows)),
    }
    names = {column: said.names(column, rows) for column in ("user", "account", "partition")}
    return savings(ways, names, said.column("end_time", rows), said.resamples(rows))
