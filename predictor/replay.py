"""One target predicted over a whole log as in production: refitted on what had ended, judged on what came.

Each block of submissions is predicted by members fitted on the jobs that had ended when the block began; weights and
calibration move with every job that ends. Predict first, learn when the label really arrives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.classes import Poll, class_of_value, likeliest_class, most_frequent
from crowdrun.predictor.features import Features, assemble, numeric_row
from crowdrun.predictor.history import History
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog, in_end_order
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.sizing import lean_log2
from crowdrun.predictor.target import Target
from crowdrun.predictor.target_model import FEWEST_JOBS, TargetModel

#: Told the share that is done, 0 to 1.
Progress = Callable[[float], None]


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
    """What was known of each job at its submission."""

    features: Features
    class_mode: NDArray[np.int64]


def look(jobs: LearningLog, target: Target, history: History) -> Seen:
    """One pass over the log: each job's features from the jobs that had ended, then its own end into the history."""
    values = jobs.values_log2(target)
    rows: list[list[float]] = [[]] * len(jobs)
    mode = np.full(len(jobs), -1, dtype=np.int64)
    for what, row in events(jobs.submit_time.tolist(), jobs.end_time.tolist()):
        keys = jobs.keys[row]
        if what == "end":
            if not np.isnan(values[row]):
                history.observe(keys, float(values[row]), float(jobs.end_time[row]))
            continue
        rows[row] = numeric_row(jobs.request_rows[row], keys, history, float(jobs.submit_time[row]))
        closest = history.closest(keys)
        if closest:
            mode[row] = most_frequent(closest[1].recent)
    return Seen(features=assemble(rows, jobs.category_rows, target), class_mode=mode)


def replay(
    jobs: LearningLog, target: Target, *, refits: int, risk: float, seed: int = 0, progress: Progress | None = None
) -> Replayed:
    """Replay a log for one target; the members are fitted `refits` times, evenly over the submissions."""
    model = TargetModel(target=target, seed=seed)
    seen = look(jobs, target, model.history)
    value, bound = jobs.values_log2(target), jobs.bounds_log2(target)
    members = _predict_in_blocks(jobs, model, seen.features, value, bound, refits, progress)
    groups = np.array([target.group(anchor) for anchor in seen.features.anchor], dtype=np.intp)
    known = ~np.isnan(members[0, :, 0])
    class_members = np.full(members.shape[:2], -1, dtype=np.int64)
    for member in range(len(members)):
        class_members[member, known] = likeliest_class(members[member, known])
    told = _follow(jobs, model, members, class_members, groups, value, bound, risk)
    calibrated, lean = told.calibrated, np.full(len(jobs), np.nan)
    lean[known] = np.fmin(lean_log2(calibrated[known], target), told.safe[known])
    class_crowd = np.full(len(jobs), -1, dtype=np.int64)
    class_crowd[known] = likeliest_class(calibrated[known])
    return Replayed(
        target=target, features=seen.features, value_log2=value, bound_log2=bound, members=members,
        combined=told.combined, calibrated=calibrated, safe_log2=told.safe, lean_log2=lean, groups=groups,
        class_mode=seen.class_mode, class_poll=told.poll, class_crowd=class_crowd, class_members=class_members,
        model=model,
    )  # fmt: skip


def _predict_in_blocks(
    jobs: LearningLog, model: TargetModel, features: Features, value: Array, bound: Array, refits: int,
    progress: Progress | None,
) -> Array:  # fmt: skip
    """The members' predictions, (members, n, levels); NaN before there was enough to learn from."""
    members = np.full((len(LEARNERS), len(jobs), len(LEVELS)), np.nan)
    step = max(1, -(-len(jobs) // refits))
    labelled = ~np.isnan(value)
    for start in range(0, len(jobs), step):
        ended = np.flatnonzero(labelled & (jobs.end_time <= jobs.submit_time[start]))
        if len(ended) >= FEWEST_JOBS:
            rows = in_end_order(jobs, ended)
            model.fit(features.rows(rows), value[rows])
        if model.learners:
            block = slice(start, start + step)
            members[:, block] = model.members(features.rows(block), bound[block])
        if progress:
            progress(min(1.0, (start + step) / len(jobs)))
    return members


@dataclass(frozen=True, kw_only=True)
class _Told:
    combined: Array
    calibrated: Array
    safe: Array
    poll: NDArray[np.int64]


def _follow(
    jobs: LearningLog, model: TargetModel, members: Array, class_members: NDArray[np.int64],
    groups: NDArray[np.intp], value: Array, bound: Array, risk: float,
) -> _Told:  # fmt: skip
    """Combine and calibrate each job with what the ended ones had taught by then."""
    combined = np.full(members.shape[1:], np.nan)
    calibrated = combined.copy()
    safe = np.full(len(jobs), np.nan)
    said_poll = np.full(len(jobs), -1, dtype=np.int64)
    poll = Poll(len(members))
    classes = class_of_value(np.where(np.isnan(value), 0.0, value))
    for what, row in events(jobs.submit_time.tolist(), jobs.end_time.tolist()):
        if np.isnan(members[0, row, 0]):
            continue
        group, here = [int(groups[row])], slice(row, row + 1)
        if what == "submit":
            combined[here] = model.combine(members[:, here], group)
            calibrated[here] = model.calibrate(combined[here], group, bound[here])
            safe[here] = model.safe(calibrated[here], risk)
            said_poll[row] = poll.vote(class_members[:, row])
        elif not np.isnan(value[row]):
            model.observe(group[0], members[:, row], combined[row], float(value[row]))
            model.budget.observe(failed=bool(value[row] > safe[row]), risk=risk)
            poll.observe(class_members[:, row], int(classes[row]))
    return _Told(combined=combined, calibrated=calibrated, safe=safe, poll=said_poll)
