"""How a span of time is cut for a plot: into stretches of a length that people know, a few dozen at most.

>>> [stretch_of(0.0, days * DAY_S) // HOUR_S for days in (0.5, 2, 30, 200)]
[1, 6, 24, 168]
"""

HOUR_S, DAY_S = 3600, 86400
#: Lengths of a stretch, s: the first that gives no more than MOST_STRETCHES over all is taken.
STRETCHES_S = (600, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
MOST_STRETCHES = 40


def stretch_of(first: float | None, last: float | None) -> int:
    """How long the stretches are between two moments (UTC epoch seconds, None where there is nothing), s."""
    span = 0.0 if first is None or last is None else last - first
    return next((stretch for stretch in STRETCHES_S if span <= MOST_STRETCHES * stretch), STRETCHES_S[-1])
