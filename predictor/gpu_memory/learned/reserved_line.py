"""The straight line from what torch's allocator reserves to the whole card: what a handful of runs can teach."""

import statistics
from collections.abc import Sequence

from crowdrun.data.errors import NotEnoughDataError
from crowdrun.predictor.gpu_memory.device import DeviceOverhead

#: Runs below which no line is drawn.
FEWEST_RUNS = 3
RISKS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def reserved_line(points: Sequence[tuple[float, float]], basis: str) -> DeviceOverhead:
    """The line by the medians of slopes (Theil and Sen), and its margins.

    Where one size alone was measured the slope is 1; a risk that is smaller than so many runs can tell gets the largest
    excess that was seen.

    Args:
        points: MB reserved by forecast, and MB of the whole card as measured.
        basis: where they are from, for the reader of a forecast.

    Raises:
        NotEnoughDataError: fewer than FEWEST_RUNS.

    >>> found = reserved_line([(x, 1.02 * x + 400) for x in (100.0, 1000.0, 5000.0, 9000.0)], "a card")
    >>> round(found.slope, 3), round(found.offset_mb), found.margin(0.05)
    (1.02, 400, 1.0)
    """
    if len(points) < FEWEST_RUNS:
        raise NotEnoughDataError(
            f"{len(points)} measured runs are too few to learn from; at least {FEWEST_RUNS} are needed"
        )
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1 :] if b[0] != a[0]]
    slope = statistics.median(slopes) if slopes else 1.0
    offset_mb = statistics.median(device - slope * reserved for reserved, device in points)
    over = sorted(device / (slope * reserved + offset_mb) for reserved, device in points)
    margins = tuple(
        (risk, round(max(1.0, over[min(len(over) - 1, int((1 - risk) * (len(over) + 1)))]), 4)) for risk in RISKS
    )
    return DeviceOverhead(slope=slope, offset_mb=offset_mb, basis=basis, margins=margins)
