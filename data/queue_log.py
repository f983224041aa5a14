"""The queue that each job of a log met at its submission, rebuilt from the times in the log in one pass.

>>> jobs = pd.DataFrame({"user": "ada", "partition": "gpu", "submit_time": [0.0, 10.0, 30.0],
...     "start_time": [5.0, 30.0, 40.0], "end_time": [20.0, 60.0, 50.0]})
>>> seen = pd.DataFrame(queue_figures(jobs), columns=QUEUE_FIGURES)
>>> seen[["waiting_jobs (all)", "running_jobs (all)", "started_last_wait_s (all)"]].values.tolist()
[[0.0, 0.0, nan], [0.0, 1.0, 5.0], [0.0, 1.0, 20.0]]
"""

import heapq
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.queue_state import QUEUE_FIGURES, Queue, QueuedJob
from crowdrun.data.states import STATES

_OPEN = [name for name, state in STATES.items() if not state.ended]
_START, _LEAVE = 0, 1


def queue_figures(jobs: pd.DataFrame, rows: slice = slice(None)) -> NDArray[np.float64]:
    """What some jobs saw of the queue at their submission: (k, len(QUEUE_FIGURES)), NaN where nothing is known.

    jobs: canonical columns, in the order of submission, unknown last; all are followed, `rows` are told. What happens
    at the very second of a submission has happened before it, as in `data/replay.py`; jobs that were submitted before
    in the same second are ahead.
    """
    first, beyond, _ = rows.indices(len(jobs))
    seen = np.full((max(beyond - first, 0), len(QUEUE_FIGURES)), np.nan)
    followed = _Followed()
    ends = _numbers(jobs, "end_time")
    still_open = np.asarray(jobs["state"].isin(_OPEN)) if "state" in jobs else np.zeros(len(jobs), bool)
    for row, job in enumerate(_queued(jobs)):
        now = job.submit_time
        if math.isnan(now):
            continue
        followed.catch_up(now)
        if first <= row < beyond:
            seen[row - first] = followed.queue.seen_by(user=job.user, partition=job.partition, now=now)
        # A job that has ended, nobody knows when, would stand in the queue for ever.
        if still_open[row] or not math.isnan(ends[row]):
            followed.add(row, job, ends[row])
    return seen


class _Followed:
    """A queue, and the starts and ends that are to come."""

    def __init__(self) -> None:
        self.queue = Queue()
        #: (when, what, job, its end).
        self._coming: list[tuple[float, int, int, float]] = []

    def add(self, key: int, job: QueuedJob, end: float) -> None:
        self.queue.submit(key, job)
        if job.start_time is not None:
            self._expect(max(job.start_time, job.submit_time), _START, key, end)
        else:
            # Cancelled while it waited.
            self._expect(max(end, job.submit_time), _LEAVE, key, end)

    def catch_up(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            when, what, key, end = heapq.heappop(self._coming)
            if what == _LEAVE:
                self.queue.leave(key)
            else:
                self.queue.start(key, when)
                self._expect(max(end, when), _LEAVE, key, end)

    def _expect(self, when: float, what: int, key: int, end: float) -> None:
        if not math.isnan(when):
            heapq.heappush(self._coming, (when, what, key, end))


def _queued(jobs: pd.DataFrame) -> list[QueuedJob]:
    texts = [jobs[name].tolist() if name in jobs else [None] * len(jobs) for name in ("user", "partition")]
    names = ("submit_time", "start_time", "req_nodes", "req_cpus", "req_gpus", "timelimit_s")
    numbers = [_numbers(jobs, name) for name in names]
    return [
        QueuedJob(
            user=_text(user), partition=_text(partition), submit_time=submit, start_time=_known(start),
            req_nodes=_or(nodes, 1.0), req_cpus=_or(cpus, 1.0), req_gpus=_or(gpus, 0.0), timelimit_s=_known(limit),
        )
        for user, partition, submit, start, nodes, cpus, gpus, limit in zip(*texts, *numbers, strict=True)
    ]  # fmt: skip


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or(value: float, unknown: float) -> float:
    return unknown if math.isnan(value) else value


def _numbers(jobs: pd.DataFrame, name: str) -> list[float]:
    if name not in jobs:
        return [math.nan] * len(jobs)
    values: list[float] = jobs[name].to_numpy(np.float64, na_value=np.nan).tolist()
    return values
