"""Notices a stretch of a log whose memory is in another unit, and keeps its jobs aside before they are learnt.

A collector that is updated, a script that divides once too often: from one job to the next every peak is 1024 times
what it was. One job a thousand times the size of its predecessors may be real; jobs of several families (user, name and
command, numbers out) that all are 1024 or 1024^2 times off within a few jobs are not. So a suspect is held back until
the jobs around it decide: if FAMILIES are off by the same factor, or all of IN_A_ROW jobs of several users, it is a
unit error, else what was held is given back. Jobs that cannot be judged, being the first of their user, share the fate
of the suspects around.

What it cannot see: a log that is wrong from its first job (nothing is there to compare with), a stretch with the jobs
of one user alone, and a factor other than a power of 1024.

>>> def job(user, peak_mem_mb):
...     return {"user": user, "job_name": "train", "start_time": 0.0, "end_time": 60.0, "peak_mem_mb": peak_mem_mb}
>>> guard = UnitGuard()
>>> right = [job(user, 300.0) for user in "abcd" for _ in range(3)]
>>> len([kept for one in right for kept in guard.admit(one)])
12
>>> [guard.admit(job(user, 300.0 * 1024)) for user in "abcdab"], guard.close()
([[], [], [], [], [], []], [])
>>> print(guard.findings[0])
6 jobs that ended 1970-01-01 00:01 to 1970-01-01 00:01 UTC have 1024 times the memory of the same users' earlier jobs
"""

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crowdrun.data.labels import SHORTEST_RUN_S

Job = Mapping[str, Any]
Family = tuple[str, str, str]

#: So many families off by the same factor, so many jobs, and so large a share of the judged ones are no coincidence.
FAMILIES, FEWEST_OFF, MOST_OFF = 3, 6, 0.6
#: Nor are so many jobs of more than one user, one after the other.
IN_A_ROW = 15
#: Judged jobs, from the first suspect on, within which that must show; and that are right before a stretch is over.
WINDOW = 20
#: Values of a family that are remembered, and that it needs before it can judge.
REMEMBERED, FEWEST = 9, 3
#: log2 by which a job may lie outside of what its family used, and within a family that can judge.
TOLERANCE_LOG2, WIDEST_LOG2 = 1.0, 6.0
#: Jobs that are held back at most.
MOST_HELD = 1000
_FACTOR_LOG2 = 10
#: In the order in which they are thought of: 0 is right.
_POWERS = (0, 1, -1, 2, -2)
_DIGITS = re.compile(r"\d+")


@dataclass(kw_only=True)
class Finding:
    """One stretch with a unit error."""

    #: The memory is 1024 to this power times what it was.
    power: int
    jobs: int = 0
    first_end_time: float = math.inf
    last_end_time: float = -math.inf

    def add(self, job: Job) -> None:
        self.jobs += 1
        self.first_end_time = min(self.first_end_time, job["end_time"])
        self.last_end_time = max(self.last_end_time, job["end_time"])

    def __str__(self) -> str:
        factor = f"{1024**self.power}" if self.power > 0 else f"1/{1024**-self.power}"
        first, last = (
            datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
            for time in (self.first_end_time, self.last_end_time)
        )
        return (
            f"{self.jobs} jobs that ended {first} to {last} UTC have {factor} times the memory "
            "of the same users' earlier jobs"
        )


class UnitGuard:
    """Takes jobs (canonical columns, unknown as None or NaN) one by one and gives back those that can be learnt."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._refused: list[Job] = []
        self._recent: dict[Family, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        #: Jobs that wait for a decision: suspects, and what cannot be judged.
        self._held: list[Job] = []
        #: The powers of the judged jobs since the first suspect, 0 is right; and the families of the suspects.
        self._judged: list[int] = []
        self._suspects: Counter[tuple[int, Family]] = Counter()
        #: The unit error that is going on, and the jobs that were right since its last.
        self._stretch: Finding | None = None
        self._right_since = 0

    def remember(self, family: Family, peaks_mb: Iterable[float]) -> None:
        """What jobs of a family used before, oldest first; so that a guard need not start from nothing."""
        sizes = [math.log2(peak) for peak in peaks_mb if peak > 0]
        self._recent[family].extend(sizes)
        self._recent[_user_of(family)].extend(sizes)

    def admit(self, job: Job) -> list[Job]:
        """The jobs that are cleared by now, in their order: this one, those that waited, or none yet."""
        if not _tells(job):
            return [job]
        power = self._power(job)
        if self._stretch:
            return self._in_stretch(self._stretch, job, power)
        if self._judged or power:
            return self._in_doubt(job, power)
        return self._clear([job])

    def close(self) -> list[Job]:
        """The end: what still waits is given back, unless a unit error was going on."""
        if self._stretch and not self._right_since:
            self._refuse(self._stretch)
        return self._start_anew()

    def take_refused(self) -> list[Job]:
        """The jobs that were kept aside since this was called last."""
        refused, self._refused = self._refused, []
        return refused

    def _power(self, job: Job) -> int | None:
        """0 where it is as others of its family were, or of its user; None where there is nothing to compare with."""
        size = math.log2(job["peak_mem_mb"])
        family = family_of(job)
        for recent in (self._recent.get(family), self._recent.get(_user_of(family))):
            if recent is None or len(recent) < FEWEST or max(recent) - min(recent) > WIDEST_LOG2:
                continue
            off = {power: _outside(size - power * _FACTOR_LOG2, min(recent), max(recent)) for power in _POWERS}
            power = min(_POWERS, key=lambda one: off[one])
            # A stretch takes an odd job along; to make one, jobs must be what they were but for the factor.
            return power if off[power] <= TOLERANCE_LOG2 or self._stretch else 0
        return None

    def _in_doubt(self, job: Job, power: int | None) -> list[Job]:
        if power is not None:
            self._judged.append(power)
        if power == 0:
            cleared = self._clear([job])
        else:
            cleared = []
            self._held.append(job)
        if power:
            self._suspects[power, family_of(job)] += 1
            if self._is_error(power):
                self._stretch, self._right_since = Finding(power=power), 0
                self.findings.append(self._stretch)
                self._refuse(self._stretch)
                return cleared
        undecided = (len(self._judged) < WINDOW or 0 not in self._judged) and len(self._held) < MOST_HELD
        return cleared if undecided else cleared + self._start_anew()

    def _is_error(self, power: int) -> bool:
        off, judged = self._judged.count(power), len(self._judged)
        families = sum(one == power for one, _ in self._suspects)
        several = families >= FAMILIES and off >= FEWEST_OFF and off >= MOST_OFF * judged
        users = len({family[0] for one, family in self._suspects if one == power})
        # One user whose jobs all die as they start uses a thousandth, honestly, and then a thousand times that.
        return several or (off == judged and off >= IN_A_ROW and users > 1)

    def _in_stretch(self, stretch: Finding, job: Job, power: int | None) -> list[Job]:
        if power in {None, stretch.power}:
            self._held.append(job)
            if power:
                self._right_since = 0
                self._refuse(stretch)
            return []
        # What could not be judged and stands before a job that is right is taken as right.
        cleared, self._held = self._clear([*self._held, job]), []
        self._right_since += 1
        return cleared if self._right_since < WINDOW else cleared + self._start_anew()

    def _start_anew(self) -> list[Job]:
        """Nothing is wrong, or no longer; gives back what waited."""
        waiting, self._held = self._held, []
        self._judged.clear()
        self._suspects.clear()
        self._stretch = None
        return self._clear(waiting)

    def _clear(self, jobs: list[Job]) -> list[Job]:
        for job in jobs:
            self.remember(family_of(job), [job["peak_mem_mb"]])
        return jobs

    def _refuse(self, stretch: Finding) -> None:
        for job in self._held:
            stretch.add(job)
        self._refused += self._held
        self._held = []


def family_of(job: Job) -> Family:
    """Whose jobs are like this one: user, and name and command with their numbers out."""
    user = job.get("user")
    return (user if isinstance(user, str) else "", _words(job.get("job_name")), _words(job.get("command")))


def _outside(size: float, low: float, high: float) -> float:
    """How far it is outside of the range, 0 inside."""
    return max(low - size, size - high, 0.0)


def _user_of(family: Family) -> Family:
    return (family[0], "*", "*")


def _words(text: object) -> str:
    return _DIGITS.sub("#", text) if isinstance(text, str) else ""


def _tells(job: Job) -> bool:
    """Whether its peak means anything: known, and of a job that ran long enough to be sampled (`data/labels.py`)."""
    peak, start, end = (job.get(name) for name in ("peak_mem_mb", "start_time", "end_time"))
    # NaN compares as false.
    return bool(peak and start is not None and end is not None and peak > 0 and end - start >= SHORTEST_RUN_S)
