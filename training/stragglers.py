"""Ranks that the others had to wait for all the time.

>>> stragglers([10.0, 11.0, 30.0], trained_s=40.0)
[2]
>>> stragglers([1.0, 1.0, 3.0], trained_s=40.0)
[]
"""

from collections.abc import Sequence
from statistics import median_low

#: Own time, against the median of all ranks, and the part of the training that it must have cost.
TIMES, PART = 1.5, 0.1


def stragglers(own_s: Sequence[float], *, trained_s: float) -> list[int]:
    """The ranks that took over 1.5 times as long for their own work as the median, and a tenth of the training more."""
    usual = median_low(own_s)
    return [rank for rank, s in enumerate(own_s) if s > TIMES * usual and s - usual > PART * trained_s]
