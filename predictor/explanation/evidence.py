"""The past jobs that a prediction rests on."""

import math
from bisect import bisect_right

from crowdrun.data.job import Evidence
from crowdrun.predictor.history import RELATIONS, Trail
from crowdrun.predictor.target import LARGEST_LOG2, Target

#: Relations from here on are no evidence: jobs that share a partition, or nothing, say nothing of this one.
FIRST_UNRELATED = RELATIONS.index("same partition")


def evidence_of(target: Target, closest: tuple[int, Trail] | None, asked: float | None) -> Evidence | None:
    """What the closest ended jobs (`History.closest`) say of this one, which asks for so much; None when they say
    nothing.

    Of a wait every job says something: they stood in the same queue.
    """
    if closest is None or (closest[0] >= FIRST_UNRELATED and not target.is_wait):
        return None
    relation, trail = closest
    ordered = trail.ordered
    jobs = len(ordered)
    lowest, below, above, highest = (
        2.0 ** min(ordered[place], LARGEST_LOG2) - target.offset for place in (0, (jobs - 1) // 2, jobs // 2, -1)
    )
    return Evidence(
        shared=RELATIONS[relation],
        jobs=jobs,
        lowest=lowest,
        median=(below + above) / 2,
        highest=highest,
        newest_time=trail.newest_time,
        above_request=None if asked is None else jobs - bisect_right(ordered, _log2(target, asked + _ROUNDING)),
    )


def _log2(target: Target, value: float) -> float:
    return math.log2(max(value + target.offset, 1e-3))


#: Values went through log2 and back.
_ROUNDING = 1e-6
