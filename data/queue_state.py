"""What waits and what runs when a job is submitted: the state of the queue that decides how long it will wait.

The same object follows a log and takes in what `squeue` shows now, and every figure is a function of the jobs that wait
and run at that moment: what a predictor learnt from a log it meets again in service. The figures are those of Smith,
"Prediction Services for Distributed Computing", IPDPS 2007, and its successor Karnak on XSEDE: jobs, CPUs and work
ahead and at work, in all, in the same partition and of the same user, and the waits that were seen last.

>>> queue = Queue.of([
...     QueuedJob(user="ada", partition="gpu", submit_time=0.0, start_time=60.0, req_cpus=8, timelimit_s=3600.0),
...     QueuedJob(user="bob", partition="gpu", submit_time=100.0, req_cpus=4, timelimit_s=1800.0),
... ])
>>> seen = dict(zip(QUEUE_FIGURES, queue.seen_by(user="eve", partition="gpu", now=160.0), strict=True))
>>> seen["waiting_jobs (partition)"], seen["waiting_cpu_s (partition)"], seen["running_cpu_s_left (all)"]
(1.0, 7200.0, 28000.0)
>>> seen["waited_longest_s (all)"], seen["started_last_wait_s (all)"], seen["waiting_jobs (user)"]
(60.0, 60.0, 0.0)
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

#: Whose jobs are counted: all, those of the same partition, those of the same user.
SCOPES: tuple[str, ...] = ("all", "partition", "user")
#: What is told of each scope; the names that begin with one of WAITS are waits, s.
SCOPE_FIGURES: tuple[str, ...] = (
    "waiting_jobs", "waiting_cpus", "waiting_nodes", "waiting_gpus", "waiting_cpu_s",
    "running_jobs", "running_cpus", "running_nodes", "running_gpus", "running_cpu_s_left", "since_start_s",
    "waited_longest_s", "waited_mean_s", "waited_least_s", "started_last_wait_s", "started_median_wait_s", "drain_s",
)  # fmt: skip
WAITS: tuple[str, ...] = ("waited_", "started_", "drain_s")
QUEUE_FIGURES: tuple[str, ...] = tuple(f"{name} ({scope})" for scope in SCOPES for name in SCOPE_FIGURES)

#: `started_median_wait_s` is over the running jobs that started in the last hour, at most so many, the newest.
RECENT_S = 3600.0
RECENT_STARTS = 25

_TOTALS = SCOPE_FIGURES.index("since_start_s")
_NOBODY = (0.0,) * _TOTALS + (math.nan,) * (len(SCOPE_FIGURES) - _TOTALS)
_UNKNOWN = (math.nan,) * len(SCOPE_FIGURES)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedJob:
    """A job that waits (no start time) or runs. Times in UTC epoch seconds; what is not known of it is left out."""

    user: str | None = None
    partition: str | None = None
    submit_time: float
    start_time: float | None = None
    req_nodes: float = 1.0
    req_cpus: float = 1.0
    req_gpus: float = 0.0
    timelimit_s: float | None = None


@dataclass(slots=True)
class _Held:
    """Sums over some jobs; work is CPUs times the time limit, of the jobs that have one."""

    jobs: float = 0.0
    cpus: float = 0.0
    nodes: float = 0.0
    gpus: float = 0.0
    limited_cpus: float = 0.0
    work: float = 0.0
    #: Sums of the times since the origin at which they came, and of CPUs times that.
    came: float = 0.0
    limited_came: float = 0.0

    def add(self, job: QueuedJob, since: float, sign: float) -> None:
        self.jobs += sign
        self.cpus += sign * job.req_cpus
        self.nodes += sign * job.req_nodes
        self.gpus += sign * job.req_gpus
        self.came += sign * since
        if job.timelimit_s is not None:
            self.limited_cpus += sign * job.req_cpus
            self.work += sign * job.req_cpus * job.timelimit_s
            self.limited_came += sign * job.req_cpus * since


@dataclass(slots=True)
class _Scope:
    """The jobs of one scope, each in the order in which it came: waiting by submission, running by start."""

    waiting: "OrderedDict[Hashable, float]" = field(default_factory=OrderedDict)
    running: "OrderedDict[Hashable, tuple[float, float]]" = field(default_factory=OrderedDict)
    waits: _Held = field(default_factory=_Held)
    runs: _Held = field(default_factory=_Held)

    def figures(self, now: float) -> list[float]:
        """SCOPE_FIGURES at `now`, s since the origin."""
        waits, runs = self.waits, self.runs
        left = max(0.0, runs.work - (runs.limited_cpus * now - runs.limited_came))
        ahead = max(0.0, waits.work)
        longest = mean = least = since = last = middle = math.nan
        if self.waiting:
            longest = max(0.0, now - next(iter(self.waiting.values())))
            least = max(0.0, now - next(reversed(self.waiting.values())))
            mean = max(0.0, now - waits.came / waits.jobs)
        if self.running:
            started, last = next(reversed(self.running.values()))
            since = max(0.0, now - started)
            middle = median(self._recent(now)) if since <= RECENT_S else math.nan
        drain = (left + ahead) / runs.cpus if runs.cpus > 0 else math.nan
        return [
            waits.jobs, waits.cpus, waits.nodes, waits.gpus, ahead,
            runs.jobs, runs.cpus, runs.nodes, runs.gpus, left, since,
            longest, mean, least, last, middle, drain,
        ]  # fmt: skip

    def _recent(self, now: float) -> list[float]:
        newest = islice(reversed(self.running.values()), RECENT_STARTS)
        return [wait for started, wait in newest if now - started <= RECENT_S]


class Queue:
    """What waits and runs. Jobs are told in the order of their times."""

    def __init__(self) -> None:
        self._scopes: dict[tuple[str, str | None], _Scope] = {("all", None): _Scope()}
        self._jobs: dict[Hashable, QueuedJob] = {}
        #: Epoch seconds that times are counted from: sums of epoch seconds would lose the last digits.
        self._origin: float | None = None

    @classmethod
    def of(cls, jobs: Iterable[QueuedJob]) -> "Queue":
        """The queue that holds these jobs now."""
        queue = cls()
        listed = sorted(jobs, key=lambda job: job.submit_time)
        for key, job in enumerate(listed):
            queue.submit(key, job)
        started = [(job.start_time, key) for key, job in enumerate(listed) if job.start_time is not None]
        for start_time, key in sorted(started):
            queue.start(key, start_time)
        return queue

    def seen_under(self, pseudonym: Callable[[str], str]) -> "Queue":
        """The same jobs, their users under other names, to be looked at: it shares everything with this one."""
        other = Queue()
        other._origin, other._jobs = self._origin, self._jobs
        other._scopes = {
            (kind, pseudonym(name) if kind == SCOPES[2] and name else name): scope
            for (kind, name), scope in self._scopes.items()
        }
        return other

    def submit(self, key: Hashable, job: QueuedJob) -> None:
        """A job begins to wait; whatever its record says of a start."""
        if self._origin is None:
            self._origin = job.submit_time
        self._jobs[key] = job
        since = job.submit_time - self._origin
        for scope in self._scopes_of(job.user, job.partition, make=True):
            scope.waiting[key] = since
            scope.waits.add(job, since, 1.0)

    def start(self, key: Hashable, start_time: float) -> None:
        """A job that waited runs."""
        job, since = self._jobs[key], start_time - (self._origin or 0.0)
        for scope in self._scopes_of(job.user, job.partition):
            submitted = self._stop_waiting(scope, key, job)
            scope.running[key] = (since, max(0.0, since - submitted))
            scope.runs.add(job, since, 1.0)

    def leave(self, key: Hashable) -> None:
        """A job has ended, or was cancelled while it waited."""
        job = self._jobs.pop(key)
        for scope in self._scopes_of(job.user, job.partition):
            if key in scope.waiting:
                self._stop_waiting(scope, key, job)
                continue
            started, _ = scope.running.pop(key)
            scope.runs.add(job, started, -1.0)
            if not scope.running:
                # Nothing is left: neither is what rounding left.
                scope.runs = _Held()

    def seen_by(self, *, user: str | None, partition: str | None, now: float) -> list[float]:
        """QUEUE_FIGURES for a job that is submitted at `now`; NaN where there is no such job, or nothing is known."""
        since = now - (self._origin if self._origin is not None else now)
        figures = self._scopes[SCOPES[0], None].figures(since)
        for name in ((SCOPES[1], partition), (SCOPES[2], user)):
            scope = self._scopes.get(name)
            figures += scope.figures(since) if scope else _NOBODY if name[1] is not None else _UNKNOWN
        return figures

    def _scopes_of(self, user: str | None, partition: str | None, *, make: bool = False) -> Iterator[_Scope]:
        yield self._scopes[SCOPES[0], None]
        for name in ((SCOPES[1], partition), (SCOPES[2], user)):
            if name[1] is not None:
                yield self._scopes.setdefault(name, _Scope()) if make else self._scopes[name]

    @staticmethod
    def _stop_waiting(scope: _Scope, key: Hashable, job: QueuedJob) -> float:
        submitted = scope.waiting.pop(key)
        scope.waits.add(job, submitted, -1.0)
        if not scope.waiting:
            scope.waits = _Held()
        return submitted
