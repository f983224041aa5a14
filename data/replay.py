"""A log in the order in which a live service would have met it: a job's label arrives when the job ends, not before.

>>> list(events([0.0, 5.0, 6.0], [5.0, float("inf"), 7.0]))
[('submit', 0), ('end', 0), ('submit', 1), ('submit', 2), ('end', 2)]
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Literal

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
