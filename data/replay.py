"""A log in the order in which a live service would have met it: a job's label arrives when the job ends, not before.

>>> list(events([0.0, 5.0, 6.0], [5.0, float("inf"), 7.0]))
[('submit', 0), ('end', 0), ('submit', 1), ('submit', 2), ('end', 2)]
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Event = tuple[Literal["submit", "end"], int]


def events(submit_times: Sequence[float], end_times: Sequence[float]) -> Iterator[Event]:
    """Submissions in their order, each after the ends up to its time. Times in s; submit_times non-decreasing.

    A job that ends at the very second of a submission is known to it. Jobs without an end (infinity) only submit.
    """
    running: list[tuple[float, int]] = []
    for row, now in enumerate(submit_times):
        while running and running[0][0] <= now:
            yield "end", heapq.heappop(running)[1]
        yield "submit", row
        if math.isfinite(end_times[row]):
            # An end before the submission would be a label from the future's past: it counts from the submission.
            heapq.heappush(running, (max(end_times[row], now), row))
    while running:
        yield "end", heapq.heappop(running)[1]


def ends_before(
    submit_time: NDArray[np.float64], end_time: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """What `events` tells, without a loop: the rows that end, in their order, and (n,) how many had at each submission.

    Times in s, in the order of submission; unknown submissions (NaN) come last, jobs without an end have infinity.

    >>> [told.tolist() for told in ends_before(np.array([0.0, 5.0, 6.0]), np.array([5.0, np.inf, 7.0]))]
    [[0, 2], [0, 1, 1]]
    """
    known, ends = ~np.isnan(submit_time), np.isfinite(end_time)
    ended = np.fmax(end_time, submit_time)
    # Each row's submission just before its end: of equal times, a stable sort then keeps the order of `events`.
    times = np.full((len(submit_time), 2), np.inf)
    times[known, 0] = submit_time[known]
    times[known & ends, 1] = ended[known & ends]
    order = np.argsort(times.ravel(), kind="stable")
    row, is_end = order // 2, (order % 2 == 1) & ends[order // 2]
    before = np.empty(len(submit_time), dtype=np.intp)
    before[row[order % 2 == 0]] = np.cumsum(is_end)[order % 2 == 0]
    last = int(before[known][-1]) if known.any() else 0
    # A job whose submission is unknown sees no new end, and what had not ended by then ends after all submissions.
    before[~known] = last
    in_order = row[is_end]
    rest = in_order[last:]
    in_order[last:] = rest[np.lexsort((rest, ended[rest]))]
    return in_order, before
