"""When to train anew: one row a trigger. Each says whether it fires, and the figures that it went by.

>>> situation = Situation(new_jobs=1200, age_s=3600.0, watch=lambda: Watched(coverage={}, alarms=()))
>>> for trigger, fired, said in look(situation, Limits()):
...     print(trigger.name, fired, said)
count True 1200 jobs ended since the last retraining (limit: 1000)
age False 0.0 days since the last retraining (limit: 7 days, when a job ended meanwhile)
coverage False too few jobs can be judged yet
drift False no drift
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.retraining.drift import Alarm
from crowdrun.predictor.retraining.follow import WATCHED_LEVEL

DAY_S = 86400.0
#: Fewer judged jobs say nothing of coverage.
FEWEST_COVERED = 200
#: Standard errors by which coverage must fall short of its promise: 3 are 1 in 740 by chance.
STANDARD_ERRORS = 3.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on the triggers fire."""

    #: Ended jobs since the last retraining.
    jobs: int = 1000
    #: Days since then.
    days: float = 7.0
    #: Share by which the coverage of the 95% quantile may fall short.
    coverage_error: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of the 95% quantile, over the jobs that ended since the last retraining."""

    judged: int
    share: float

    def falls_short(self, limit: float) -> bool:
        chance = STANDARD_ERRORS * np.sqrt(WATCHED_LEVEL * (1 - WATCHED_LEVEL) / max(self.judged, 1))
        return self.judged >= FEWEST_COVERED and WATCHED_LEVEL - self.share > max(limit, chance)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What came of watching the model on the jobs since the last retraining."""

    #: Target -> of the model as it answers, learning.
    coverage: Mapping[str, Coverage]
    #: Of the model as it was published.
    alarms: Sequence[Alarm]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the triggers look at."""

    #: Ended jobs, and seconds, since the last retraining.
    new_jobs: int
    age_s: float
    #: Takes the model through the new jobs: minutes where they are many, so it is called only when needed.
    watch: Callable[[], Watched]


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One reason to train anew."""

    name: str
    doc: str
    fires: Callable[[Situation, Limits], tuple[bool, str]]


def look(situation: Situation, limits: Limits) -> list[tuple[Trigger, bool, str]]:
    """Every trigger with whether it fires and why."""
    return [(trigger, *trigger.fires(situation, limits)) for trigger in TRIGGERS]


def first_that_fires(situation: Situation, limits: Limits) -> tuple[Trigger | None, list[str]]:
    """The first trigger that fires, None without one, and what was said up to it; cheap ones come first."""
    said = []
    for trigger in TRIGGERS:
        fired, why = trigger.fires(situation, limits)
        said.append(f"{trigger.name}: {why}")
        if fired:
            return trigger, said
    return None, said


def _count(situation: Situation, limits: Limits) -> tuple[bool, str]:
    said = f"{situation.new_jobs} jobs ended since the last retraining (limit: {limits.jobs})"
    return situation.new_jobs >= limits.jobs, said


def _age(situation: Situation, limits: Limits) -> tuple[bool, str]:
    days = situation.age_s / DAY_S
    said = f"{days:.1f} days since the last retraining (limit: {limits.days:g} days, when a job ended meanwhile)"
    return days >= limits.days and situation.new_jobs > 0, said


def _coverage(situation: Situation, limits: Limits) -> tuple[bool, str]:
    known = situation.watch().coverage
    off = [name for name, one in known.items() if one.falls_short(limits.coverage_error)]
    said = [
        f"{one.share:.1%} of {one.judged} jobs within the {WATCHED_LEVEL:.0%} quantile of {name}"
        for name, one in known.items()
        if one.judged >= FEWEST_COVERED and (name in off or not off)
    ]
    return bool(off), "; ".join(said) or "too few jobs can be judged yet"


def _drift(situation: Situation, limits: Limits) -> tuple[bool, str]:
    del limits
    noticed = situation.watch().alarms
    return bool(noticed), "; ".join(map(str, noticed[:3])) or "no drift"


TRIGGERS: tuple[Trigger, ...] = (
    Trigger(name="count", doc="So many jobs ended since the last retraining.", fires=_count),
    Trigger(name="age", doc="The last retraining is so long ago.", fires=_age),
    Trigger(name="coverage", doc="The 95% quantile is exceeded by more jobs than 5%.", fires=_coverage),
    Trigger(name="drift", doc="ADWIN on the loss, the coverage and the strangers of the model.", fires=_drift),
)
