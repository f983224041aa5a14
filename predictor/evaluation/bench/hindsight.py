"""Limits that nobody can reach: what is chosen with all answers at hand."""

from collections import defaultdict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.evaluation.allocations import allocation_mb, request_mb
from crowdrun.predictor.evaluation.bench.methods import Method
from crowdrun.predictor.evaluation.bench.retries import repeated
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.figures import CURVE_LEVELS
from crowdrun.predictor.evaluation.metrics import Judged, Retry, attempts
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array, at_logit, logit
from crowdrun.predictor.replay import Replayed

#: Constants that are tried for a family: all its peaks, or quantiles of them where there are more.
LARGEST_TRIED = 200


def members(log: LearningLog, replayed: Replayed, judged: Judged, retry: Retry | None) -> list[Method]:
    """Each member at the level of CURVE_LEVELS with the least wastage, and once more the best of them."""
    chosen = []
    for name, quantiles in zip(LEARNERS, replayed.members, strict=True):
        tried = [
            (float(level), allocation_mb(log, replayed, at_logit(quantiles, logit(np.array([level])))))
            for level in CURVE_LEVELS
        ]
        costs = [judged.attempts(allocation, retry).waste_gbh.sum() for _, allocation in tried]
        level, allocation = tried[int(np.argmin(costs))]
        title = f"member {name} at its cheapest level, {100 * level:g}%"
        method = Method(
            name=f"member_{name}_cheapest", title=title, kind="hindsight", retry=retry, allocation_mb=allocation
        )
        chosen.append((float(min(costs)), method))
    best = min(chosen, key=lambda one: one[0])[1]
    return [
        *(method for _, method in chosen),
        Method(
            name="hindsight_member", title=f"the best member: {best.title}", kind="hindsight", retry=retry,
            allocation_mb=best.allocation_mb,
        ),
    ]  # fmt: skip


def constant_of_each_family(trace: Trace, judged: Judged, retry: Retry | None) -> Method:
    """For each closest family the one allocation that would have wasted least on its judged jobs."""
    allocation = request_mb(trace.log).copy()
    families: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, row in enumerate(judged.rows.tolist()):
        families[trace.families[row][0]].append(place)
    for places in families.values():
        members_of = np.array(places)
        allocation[judged.rows[members_of]] = _best_constant(judged, members_of, retry)
    return Method(
        name="hindsight_constant", title="the best constant of each family", kind="hindsight", retry=retry,
        allocation_mb=allocation,
    )  # fmt: skip


def _best_constant(judged: Judged, places: NDArray[np.intp], retry: Retry | None) -> float:
    peaks, hours = judged.peak_mb[places], judged.hours[places]
    tried: Array = np.unique(peaks)
    if len(tried) > LARGEST_TRIED:
        tried = np.quantile(tried, np.linspace(0, 1, LARGEST_TRIED), method="higher")
    cost = attempts(
        np.repeat(tried, len(places)), peak_mb=np.tile(peaks, len(tried)), hours=np.tile(hours, len(tried)),
        cap_mb=judged.cap_mb, retry=repeated(retry, places),
    ).waste_gbh.reshape(len(tried), -1)  # fmt: skip
    return float(tried[cost.sum(axis=1).argmin()])
