"""What the other steps of a workflow tell of the item that a step works on.

The steps `TRIM (sample7)`, `ALIGN (sample7)` and `DEDUPLICATE (sample7)` have a sample in common, and what the first
ones took says how large it is: on a public methylation workflow the logarithms of the run time of the first step and
of the memory of a later one correlate by 0.99. So each item has a size, the mean over its ended steps of log2 (run time
/ mean run time of that step), and the value of a step is a local regression on the sizes of the items that went before.

The same object serves the replay of a log and the live service, as `History` does: it knows ended jobs alone.

>>> items = Items()
>>> for number in range(8):
...     item = ("ada", f"sample{number}")
...     items.observe(item, ("ada", "TRIM"), run_time_log2=number, value_log2=9.0)
...     items.observe(item, ("ada", "ALIGN"), run_time_log2=number + 4, value_log2=10.0 + number)
>>> items.observe(("ada", "new"), ("ada", "TRIM"), run_time_log2=3.5, value_log2=9.0)
>>> bool(abs(items.estimate(("ada", "new"), ("ada", "ALIGN")).value_log2 - 13.5) < 0.2)
True
"""

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from crowdrun.data.job import JobRequest
from crowdrun.predictor.history import WINDOW, item_of, template
from crowdrun.predictor.quantiles import Array

Item = tuple[Hashable, ...]
Family = tuple[Hashable, ...]

#: Fewer earlier items than this give no line.
FEWEST_ITEMS = 3
#: Sizes that differ by less than this, log2, tell nothing.
SMALLEST_RANGE_LOG2 = 0.05
#: How near in size an item must be to count, log2, what all others count, and the penalty of the slope.
BANDWIDTH_LOG2, FAR_WEIGHT, PENALTY = 0.75, 0.02, 0.03
#: Items that are remembered, those that came last.
KEPT_ITEMS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemEstimate:
    """What the sizes of the items tell of one step."""

    value_log2: float
    #: Root mean square of the leave-one-out errors of the earlier items, near ones counting most, log2.
    spread_log2: float
    #: Earlier items, and how many of them are near in size.
    items: int
    near: float


#: What `Items.statistics` tells, and what it tells of a job without an item, or of an item's first step.
ITEM_NAMES: tuple[str, ...] = ("item_value", "item_spread", "item_count", "item_near")
NO_ITEM: tuple[float, ...] = (math.nan, math.nan, 0.0, 0.0)


@dataclass(slots=True)
class FamilyRecord:
    """The ended jobs of one step: the mean of their log2 run times, and the last values with their items."""

    jobs: int = 0
    mean_run: float = 0.0
    values: deque[tuple[Item, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))


def run_time_log2(run_time_s: Array) -> Array:
    """(n,) log2 of run times; logs count in seconds, so nothing is taken as shorter than half of one."""
    return np.log2(np.maximum(run_time_s, 0.5))


def place_of(request: JobRequest) -> tuple[Item, Family] | None:
    """The item and the family of a step; None where the name tells no item."""
    item = item_of(request.job_name)
    if item is None:
        return None
    return (request.user, item), (request.user, template(request.command), template(request.job_name))


class Items:
    """The run times of each item's ended steps, and the last values of each step."""

    def __init__(self) -> None:
        self.runs: dict[Item, dict[Family, float]] = {}
        self.families: dict[Family, FamilyRecord] = {}

    def observe(self, item: Item, family: Family, run_time_log2: float, value_log2: float) -> None:
        """Add one ended job; value_log2 is NaN where the job taught nothing of the target."""
        known = self.families.setdefault(family, FamilyRecord())
        known.jobs += 1
        known.mean_run += (run_time_log2 - known.mean_run) / known.jobs
        self.runs.setdefault(item, {})[family] = run_time_log2
        if len(self.runs) > KEPT_ITEMS:
            del self.runs[next(iter(self.runs))]
        if not math.isnan(value_log2):
            known.values.append((item, value_log2))

    def estimate(self, item: Item, family: Family) -> ItemEstimate | None:
        """What the item's other steps tell of this one; None where they tell nothing."""
        done = {step: run for step, run in self.runs.get(item, {}).items() if step != family}
        known = self.families.get(family)
        if not done or known is None or len(known.values) < FEWEST_ITEMS:
            return None
        means = {step: self.families[step].mean_run for step in done}
        sizes, values = [], []
        for other, value in known.values:
            theirs = self.runs.get(other, {})
            parts = [theirs[step] - mean for step, mean in means.items() if step in theirs]
            if parts:
                sizes.append(sum(parts) / len(parts))
                values.append(value)
        if len(sizes) < FEWEST_ITEMS or max(sizes) - min(sizes) < SMALLEST_RANGE_LOG2:
            return None
        own = sum(run - means[step] for step, run in done.items()) / len(done)
        return _local_line(np.array(sizes), np.array(values), own)

    def statistics(self, place: tuple[Item, Family] | None) -> tuple[float, ...]:
        """ITEM_NAMES for a job; the value is absolute, log2, and the counts are log2(1 + n)."""
        told = self.estimate(*place) if place else None
        if told is None:
            return NO_ITEM
        return told.value_log2, told.spread_log2, math.log2(1 + told.items), math.log2(1 + told.near)


def _local_line(size: Array, value: Array, own: float) -> ItemEstimate:
    """A line through the items near in size (Cleveland, "Robust locally weighted regression and smoothing
    scatterplots", JASA 74, 1979), its slope leaning on 0: beyond the largest item the value stays near the last ones'.
    """
    at = np.append(size, own)
    near = np.exp(-0.5 * ((at[:, None] - size) / BANDWIDTH_LOG2) ** 2)
    weight = near + FAR_WEIGHT
    np.fill_diagonal(weight, 0.0)  # no item tells of itself, so that the errors are honest
    total = weight.sum(axis=1)
    centre, mean = weight @ size / total, weight @ value / total
    spread = weight @ size**2 - total * centre**2
    together = weight @ (size * value) - total * centre * mean
    line = mean + together / (spread + PENALTY) * (at - centre)
    return ItemEstimate(
        value_log2=float(line[-1]),
        spread_log2=float(np.sqrt(weight[-1] @ (value - line[:-1]) ** 2 / total[-1])),
        items=len(size),
        near=float(near[-1].sum()),
    )
