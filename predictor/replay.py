"""One target predicted over a whole log as in production: refitted on what had ended, judged on what came.

Each block of submissions is predicted by members fitted on the jobs that had ended when the block began; weights and
calibration move with the jobs that end. Predict first, learn when the label really arrives.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.queue_log import queue_figures
from crowdrun.data.replay import ends_before
from crowdrun.predictor.classes import Poll, class_of_value, likeliest_class, most_frequent_of_rows
from crowdrun.predictor.features import NUMERIC_NAMES, Features, assemble
from crowdrun.predictor.fitting import Fitting, fit_executor
from crowdrun.predictor.history import History
from crowdrun.predictor.history_table import HistoryTable
from crowdrun.predictor.items import Items
from crowdrun.predictor.items_table import item_statistics
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.target import Target
from crowdrun.predictor.target_model import FEWEST_JOBS, Ended, TargetModel
from crowdrun.predictor.target_settings import TargetSettings

#: Told the share that is done, 0 to 1.
Progress = Callable[[float], None]
#: Rows whose features are put together at once, so that the wide table is never in memory as float64.
_BLOCK = 1 << 15


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What was said of n jobs, each at its submission; NaN (or -1 for a class) where nothing could be."""

    target: Target
    features: Features
    value_log2: Array
    #: (n,) log2 of the request.
    bound_log2: Array
    #: (members, n, levels) and (n, levels), log2.
    members: Array
    combined: Array
    calibrated: Array
    safe_log2: Array
    lean_log2: Array
    groups: NDArray[np.intp]
    #: (n,) classes k; members' (members, n).
    class_mode: NDArray[np.int64]
    class_poll: NDArray[np.int64]
    class_crowd: NDArray[np.int64]
    class_members: NDArray[np.int64]
    #: The model as it stands at the end of the log, fitted for the last block.
    model: TargetModel

    @property
    def predicted(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.safe_log2)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was known of some jobs of a log at their submission."""

    features: Features
    table: HistoryTable
    rows: slice

    @cached_property
    def class_mode(self) -> NDArray[np.int64]:
        """The most frequent class of the closest relation that has a history; -1 where none has."""
        return most_frequent_of_rows(self.table.closest(self.rows))


@dataclass(frozen=True, kw_only=True)
class Course:
    """What one target's replay goes through: n jobs in the order of their submission."""

    submit_time: Array
    #: When the value becomes known: at the end, a wait's at the start.
    end_time: Array
    features: Features
    value_log2: Array
    bound_log2: Array
    #: (n,) the family of each job, None where it has none.
    families: NDArray[np.object_]

    @classmethod
    def of(cls, jobs: LearningLog, target: Target, features: Features, rows: slice) -> "Course":
        """The part `rows` of a log; features are of those rows alone."""
        return cls(
            submit_time=jobs.submit_time[rows], end_time=jobs.known_time(target)[rows], features=features,
            value_log2=jobs.values_log2(target)[rows], bound_log2=jobs.bounds_log2(target)[rows],
            families=np.full(len(features), None) if target.is_wait else jobs.requests_table.families(rows),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.value_log2)

    def ended_by(self, now: float) -> NDArray[np.intp]:
        """The rows that teach something and had ended by then, oldest end first."""
        rows = np.flatnonzero(~np.isnan(self.value_log2) & (self.end_time <= now) & np.isfinite(self.end_time))
        return rows[np.argsort(self.end_time[rows], kind="stable")]


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The crowd's distributions, combined and calibrated with what the ended jobs had taught by then."""

    combined: Array
    by_family: Array
    calibrated: Array
    safe: Array
    #: (n,) what the poll said; -1 where it was not held.
    poll: NDArray[np.int64]


def look(jobs: LearningLog, target: Target, history: History, items: Items, rows: slice = slice(None)) -> Seen:
    """Each job's features from the jobs that had ended at its submission; then all that ended is remembered.

    What is seen is that of `rows`; the history and the items, which come empty, are those of the whole log.
    """
    value = jobs.values_log2(target)
    table = HistoryTable(jobs, value, jobs.known_time(target) if target.is_wait else None)
    told = np.hstack([item_statistics(jobs, value, items)[rows], table.statistics(rows, history)])
    return Seen(features=_features(jobs, target, told, rows), table=table, rows=rows)


def _features(jobs: LearningLog, target: Target, statistics: Array, rows: slice) -> Features:
    first = rows.indices(len(jobs))[0]
    queue = queue_figures(jobs.jobs, rows) if target.is_wait else None
    parts = []
    for start in range(0, max(len(statistics), 1), _BLOCK):
        told = statistics[start : start + _BLOCK]
        these = slice(first + start, first + start + len(told))
        numeric = np.full((len(told), len(NUMERIC_NAMES)), np.nan)
        asked = jobs.requests_table.request_rows(these)
        numeric[:, : asked.shape[1]] = asked
        numeric[:, -told.shape[1] :] = told
        met = None if queue is None else queue[start : start + _BLOCK]
        parts.append(assemble(numeric, jobs.requests_table.category_rows(these), target, met))
    return Features.joined(parts)


def replay(
    jobs: LearningLog, target: Target, *, refits: int, risk: float, seed: int = 0,
    settings: TargetSettings | None = None, progress: Progress | None = None,
) -> Replayed:  # fmt: skip
    """Replay a log for one target; the members are fitted `refits` times, evenly over the submissions."""
    model = TargetModel(target=target, seed=seed, settings=settings or TargetSettings())
    seen = look(jobs, target, model.history, model.items)
    course = Course.of(jobs, target, seen.features, slice(None))
    with fit_executor() as executor:
        members = predict_in_blocks(course, model, begin_fits(course, model, refits, executor), progress=progress)
    known = ~np.isnan(members[0, :, 0])
    class_members = np.full(members.shape[:2], -1, dtype=np.int64)
    for member in range(len(members)):
        class_members[member, known] = likeliest_class(members[member, known])
    told = follow(course, model, members, risk, class_members)
    calibrated, lean = told.calibrated, np.full(len(jobs), np.nan)
    lean[known] = np.fmin(model.lean(told.combined[known], calibrated[known]), told.safe[known])
    class_crowd = np.full(len(jobs), -1, dtype=np.int64)
    class_crowd[known] = likeliest_class(calibrated[known])
    return Replayed(
        target=target, features=seen.features, value_log2=course.value_log2, bound_log2=course.bound_log2,
        members=members, combined=told.combined, calibrated=calibrated, safe_log2=told.safe, lean_log2=lean,
        groups=groups_of(course, target), class_mode=seen.class_mode, class_poll=told.poll, class_crowd=class_crowd,
        class_members=class_members, model=model,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Block:
    """Submissions that the same members predict; `fitting` is None before there was enough to learn from."""

    rows: slice
    fitting: Fitting | None


def begin_fits(course: Course, model: TargetModel, refits: int, executor: Executor, *, first: int = 0) -> list[Block]:
    """Blocks of submissions from row `first` on; each one's members begin to be fitted on what had ended before it."""
    step = max(1, -(-(len(course) - first) // refits))
    blocks = []
    for start in range(first, len(course), step):
        rows = course.ended_by(course.submit_time[start])
        enough = len(rows) >= FEWEST_JOBS
        fitting = model.begin_fit(course.features, course.value_log2, rows, executor) if enough else None
        blocks.append(Block(rows=slice(start, min(start + step, len(course))), fitting=fitting))
    return blocks


def predict_in_blocks(
    course: Course, model: TargetModel, blocks: Sequence[Block], *, progress: Progress | None = None
) -> Array:
    """The members' predictions, (members, n, levels); NaN where there was not enough to learn from."""
    members = np.full((len(model.settings.members), len(course), len(LEVELS)), np.nan)
    for done, block in enumerate(blocks, start=1):
        if block.fitting:
            model.take(block.fitting)
        if model.learners:
            features = course.features.rows(block.rows)
            members[:, block.rows] = model.members(features, course.bound_log2[block.rows])
        if progress:
            progress(done / len(blocks))
    return members


def groups_of(course: Course, target: Target) -> NDArray[np.intp]:
    """(n,) the group of each job by its size (`Target.group`)."""
    return np.array([target.group(anchor) for anchor in course.features.anchor.tolist()], dtype=np.intp)


def follow(
    course: Course, model: TargetModel, members: Array, risk: float, class_members: NDArray[np.int64] | None = None,
    *, ends_between_looks: int = 1,
) -> Followed:  # fmt: skip
    """Combine and calibrate each job with what the ended ones had taught by then.

    With the members' classes a poll is held as well. With `ends_between_looks` of 1, weights, calibration and budget
    are those of a live service; with more, the submissions between every so many ends are answered together, with
    what was known at the first of them: that is faster, and never looks ahead.
    """
    combined = np.full(members.shape[1:], np.nan)
    told = Followed(
        combined=combined, by_family=combined.copy(), calibrated=combined.copy(), safe=np.full(len(course), np.nan),
        poll=np.full(len(course), -1, dtype=np.int64),
    )  # fmt: skip
    groups, value = groups_of(course, model.target), course.value_log2
    poll = Poll(len(members))
    known = ~np.isnan(members[0, :, 0])
    for submitted, ended in _looks(course, known, ends_between_looks):
        of = groups[submitted].tolist()
        if of:
            told.combined[submitted] = model.combine(members[:, submitted], of)
            told.by_family[submitted] = model.by_family(told.combined[submitted], course.families[submitted].tolist())
            told.calibrated[submitted] = model.calibrate(told.by_family[submitted], of, course.bound_log2[submitted])
            told.safe[submitted] = model.safe(told.calibrated[submitted], risk)
        bound = course.bound_log2[ended]
        model.observe(Ended(
            groups=groups[ended].tolist(), families=course.families[ended].tolist(), members=members[:, ended],
            combined=told.combined[ended], by_family=told.by_family[ended], value_log2=value[ended], bound_log2=bound,
        ))  # fmt: skip
        model.observe_failures(told.safe[ended], value[ended], bound, risk)
        if class_members is not None:
            _hold(poll, class_members, submitted, ended, class_of_value(value[ended]), told.poll)
    return told


def _looks(
    course: Course, known: NDArray[np.bool_], ends_between: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Submissions that are answered together, and then the ends that are learnt from, in their order."""
    order, before = ends_before(course.submit_time, course.end_time)
    teaches = (known & ~np.isnan(course.value_log2))[order]
    ends = order[teaches]
    look_of = np.concatenate([[0], np.cumsum(teaches)])[before] // ends_between
    submitted = np.flatnonzero(known)
    looks = int(max(look_of.max(initial=0), (len(ends) - 1) // ends_between)) + 1
    first = np.searchsorted(look_of[submitted], np.arange(looks + 1)).tolist()
    return [(submitted[first[k] : first[k + 1]], ends[k * ends_between : (k + 1) * ends_between]) for k in range(looks)]


def _hold(
    poll: Poll, votes: NDArray[np.int64], submitted: NDArray[np.intp], ended: NDArray[np.intp],
    truth: NDArray[np.int64], said: NDArray[np.int64],
) -> None:  # fmt: skip
    """The poll of each job submitted, and then what those that ended teach it."""
    for row in submitted.tolist():
        said[row] = poll.vote(votes[:, row])
    for row, one in zip(ended.tolist(), truth.tolist(), strict=True):
        poll.observe(votes[:, row], one)
