"""The past jobs that a prediction rests on."""

from bisect import bisect_right

import numpy as np

from crowdrun.data.job import Evidence
from crowdrun.predictor.history import RELATIONS, History, Key
from crowdrun.predictor.target import Target

#: Relations from here on are no evidence: jobs that share a partition, or nothing, say nothing of this one.
FIRST_UNRELATED = RELATIONS.index("same partition")


def evidence_of(target: Target, history: History, keys: tuple[Key | None, ...], asked: float | None) -> Evidence | None:
    """The closest ended jobs that say something of this one, which asks for so much; None when there are none.

    Of a wait every job says something: they stood in the same queue.
    """
    closest = history.closest(keys)
    if closest is None or (closest[0] >= FIRST_UNRELATED and not target.is_wait):
        return None
    relation, trail = closest
    ordered: list[float] = target.from_log2(np.array(trail.ordered)).tolist()
    jobs = len(ordered)
    return Evidence(
        shared=RELATIONS[relation],
        jobs=jobs,
        lowest=ordered[0],
        median=(ordered[(jobs - 1) // 2] + ordered[jobs // 2]) / 2,
        highest=ordered[-1],
        newest_time=trail.newest_time,
        above_request=None if asked is None else jobs - bisect_right(ordered, asked + _ROUNDING),
    )


#: Values went through log2 and back.
_ROUNDING = 1e-6
