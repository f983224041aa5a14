"""What is remembered of ended jobs: for each thing that jobs have in common, the last values and how they spread.

The same object serves the replay of a log and the live service: `features` reads what is known at a submission,
`observe` adds a job that has ended. A feature of a job can therefore never hold anything of its future.

>>> history = History()
>>> keys = keys_of(JobRequest(user="ada", job_name="train-7"))
>>> history.observe(keys, value_log2=10.0, end_time=100.0)
>>> history.trail(keys_of(JobRequest(user="ada", job_name="train-8"))[1]).last
10.0
"""

import math
import re
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from crowdrun.data.job import JobRequest

#: Values remembered of each key.
WINDOW = 40
#: Weight of the newest value in the running mean.
NEWEST_WEIGHT = 0.3

_DIGITS = re.compile(r"\d+")
#: What a workflow engine adds to the name of a step: the item that it works on, `ALIGN (sample7)`.
_ITEM = re.compile(r"\s*\(([^()]+)\)\s*$")

Key = tuple[Hashable, ...]

#: What jobs can have in common, closest first: the name of the relation, as a person reads it.
RELATIONS: tuple[str, ...] = (
    "same user, command, name and request",
    "same user, command and name",
    "same user and name",
    "same user and command",
    "same name",
    "same user and request",
    "same user",
    "same group and account",
    "same partition",
    "all jobs",
)
#: What makes jobs a family: the relation whose levels are kept apart (`family_levels.py`).
FAMILY = RELATIONS.index("same user, command and name")


@lru_cache(maxsize=4096)
def template(text: str | None) -> str:
    """A name with its digits and its item out, so that `train-7` and `train-12` are the same family.

    >>> template("lm_b64_r3"), template("ALIGN (sample7)"), template(None)
    ('lm_b#_r#', 'ALIGN', '')
    """
    return _DIGITS.sub("#", _ITEM.sub("", text)) if text else ""


def item_of(job_name: str | None) -> str | None:
    """What a step of a workflow works on, as its name tells; None where it does not.

    >>> item_of("ALIGN (sample7)"), item_of("lm_b64_r3")
    ('sample7', None)
    """
    found = _ITEM.search(job_name) if job_name else None
    return found.group(1) if found else None


def keys_of(request: JobRequest) -> tuple[Key | None, ...]:
    """The key of the request for each of `RELATIONS`, in that order; None where it lacks what would be in common."""
    user, name, command = request.user, template(request.job_name), template(request.command)
    asked = (request.req_mem_mb, request.req_cpus, request.req_gpus, request.timelimit_s)
    named = bool(name or command)
    return (
        (0, user, command, name, asked) if named else None,
        (1, user, command, name) if named else None,
        (2, user, name) if name else None,
        (3, user, command) if command else None,
        (4, name) if name else None,
        (5, user, asked) if user else None,
        (6, user) if user else None,
        (7, request.group, request.account) if request.group or request.account else None,
        (8, request.partition) if request.partition else None,
        (9,),
    )


#: The same as a table, for a whole log at once: what the key of each relation holds, and of which parts one must be
#: known. `asked` stands for all that was requested.
KEY_PARTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("user", "command", "name", "asked"), ("name", "command")),
    (("user", "command", "name"), ("name", "command")),
    (("user", "name"), ("name",)),
    (("user", "command"), ("command",)),
    (("name",), ("name",)),
    (("user", "asked"), ("user",)),
    (("user",), ("user",)),
    (("group", "account"), ("group", "account")),
    (("partition",), ("partition",)),
    ((), ()),
)


@dataclass(slots=True)
class Trail:
    """The last values of one key, log2, in the order in which the jobs ended."""

    recent: deque[float] = field(default_factory=deque)
    #: The same values, sorted.
    ordered: list[float] = field(default_factory=list)
    count: int = 0
    newest_time: float = 0.0
    mean: float = math.nan
    #: What `statistics` tells but for the age, until the next value comes.
    _told: "tuple[float, ...] | None" = None

    def add(self, value: float, end_time: float) -> None:
        self.recent.append(value)
        insort(self.ordered, value)
        self._told = None
        self.count += 1
        self.newest_time = max(self.newest_time, end_time)
        self.mean = value if self.count == 1 else self.mean + NEWEST_WEIGHT * (value - self.mean)
        if len(self.recent) > WINDOW:
            del self.ordered[bisect_left(self.ordered, self.recent.popleft())]

    @classmethod
    def of(cls, recent: Sequence[float], *, count: int, newest_time: float, mean: float) -> "Trail":
        """The trail that ends with the values `recent` (at most WINDOW, oldest first)."""
        return cls(recent=deque(recent), ordered=sorted(recent), count=count, newest_time=newest_time, mean=mean)

    @property
    def last(self) -> float:
        return self.recent[-1]

    @property
    def told(self) -> tuple[float, ...]:
        """`STATISTICS` without the age: a trail is asked for far more often than it grows."""
        if self._told is None:
            self._told = self._summary()
        return self._told

    def _summary(self) -> tuple[float, ...]:
        ordered, recent = self.ordered, self.recent
        top = len(ordered) - 1
        newest = [recent[-1 - back] for back in range(min(5, top + 1))]
        return (
            math.log2(1 + self.count),
            newest[0],
            newest[1] if top else math.nan,
            self.mean,
            max(newest),
            ordered[0],
            ordered[top // 2],
            ordered[int(top * 0.9 + 0.5)],
            ordered[top],
        )


#: What `statistics` tells of a trail; the first two are not values of the target.
STATISTICS: tuple[str, ...] = (
    "count", "age", "last", "before", "mean", "highest_of_5", "lowest", "median", "p90", "highest",
)  # fmt: skip
_NOTHING = (0.0, *[math.nan] * (len(STATISTICS) - 1))


def statistics(trail: Trail | None, now: float) -> tuple[float, ...]:
    """`STATISTICS` of a trail at the time `now`; NaN where nothing is known."""
    if trail is None:
        return _NOTHING
    count, *rest = trail.told
    return (count, math.log2(1 + max(0.0, now - trail.newest_time)), *rest)


class History:
    """The trails of every key, for one target."""

    def __init__(self) -> None:
        self._trails: dict[Key, Trail] = {}

    def observe(self, keys: Sequence[Key | None], value_log2: float, end_time: float) -> None:
        """Add one ended job."""
        for key in keys:
            if key is None:
                continue
            trail = self._trails.get(key)
            if trail is None:
                trail = self._trails[key] = Trail()
            trail.add(value_log2, end_time)

    def trail(self, key: Key | None) -> Trail | None:
        return None if key is None else self._trails.get(key)

    @property
    def newest_time(self) -> float:
        """End of the newest job, UTC epoch seconds; 0 without one."""
        everything = self._trails.get((len(RELATIONS) - 1,))
        return everything.newest_time if everything else 0.0

    @property
    def trails(self) -> dict[Key, Trail]:
        return self._trails

    def statistics(self, keys: Sequence[Key | None], now: float) -> list[float]:
        """`STATISTICS` of each relation, one after the other: len(RELATIONS) * len(STATISTICS) values."""
        row: list[float] = []
        trails = self._trails
        for key in keys:
            row += statistics(trails.get(key) if key else None, now)
        return row

    def closest(self, keys: Sequence[Key | None], at_least: int = 1) -> tuple[int, Trail] | None:
        """The closest relation with so many values, and its trail."""
        trails = self._trails
        for relation, key in enumerate(keys):
            trail = trails.get(key) if key else None
            if trail is not None and len(trail.recent) >= at_least:
                return relation, trail
        return None
