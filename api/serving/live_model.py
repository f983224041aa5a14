"""A published model in service: it answers, and learns from what the store hears of jobs that ended."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from crowdrun.api.serving.fair_lock import FairLock
from crowdrun.data import store_follow
from crowdrun.data.errors import BusyError
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.pseudonyms import Pseudonyms
from crowdrun.data.queue_state import Queue
from crowdrun.data.store import JobStore
from crowdrun.data.unit_guard import Job
from crowdrun.predictor.explanation.explain import explain
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining.units import guard_knowing

log = logging.getLogger("crowdrun.service")

#: Jobs of a batch that are answered, and jobs that are learnt from, before others get their turn.
ANSWER_CHUNK, LEARN_CHUNK = 64, 16
#: Jobs that are read from the store at once.
NEWS_LIMIT = 1000
#: How long a caller waits for another that is learning already; that one takes the same jobs in.
WAIT_S = 1.0
#: For `learn(at_most=...)` of a command: a few seconds.
SHORT_BACKLOG = 500


class LiveModel:
    """One loaded model. Safe to call from several threads.

    It goes on from the position in the store at which it was trained, so that after a restart it knows what it knew
    before, whoever wrote it: the service, `crowdrun ingest` or the runner.
    """

    def __init__(self, models_dir: Path, model_id: str, pseudonyms: Pseudonyms | None = None) -> None:
        """Load it; `pseudonyms` are those of the store that it was trained on.

        Raises:
            ModelError: it is missing or damaged.
        """
        self.model_id, self._pseudonyms = model_id, pseudonyms
        self._crowd = registry.load(models_dir, model_id)
        self.manifest = registry.describe(models_dir, model_id)
        self._position = self.manifest.store_position
        self._guard = guard_knowing(self._crowd)
        # The crowd's histories change while it learns, so it never answers at the same moment.
        self._lock = FairLock()
        self._learning = threading.Lock()

    @classmethod
    def current(cls, models_dir: Path, complain: Callable[[str], None], pseudonyms: Pseudonyms | None = None) -> Self:
        """The current model or, with a complaint, the last good one before it.

        Raises:
            ModelError: there is none.
        """
        return cls(models_dir, registry.good_id(models_dir, complain), pseudonyms)

    def recommend(
        self,
        requests: Sequence[JobRequest],
        risk: float,
        queues: Sequence[Queue | None] | None = None,
        *,
        explained: bool = False,
        until: float = math.inf,
    ) -> list[Recommendation]:
        """One recommendation a request, in order; a request without a submit time is taken as submitted now.

        queues: what waits and runs as each job is submitted; None where nobody looked.
        until: when to give up, seconds of `time.monotonic`.

        Raises:
            BusyError: the time is up.
        """
        met = [None] * len(requests) if queues is None else queues
        told = [_submitted(request) for request in requests]
        asked, met = [self._hashed(request) for request in told], [self._hashed_queue(queue) for queue in met]
        answers: list[Recommendation] = []
        for start in range(0, len(asked), ANSWER_CHUNK):
            chunk = slice(start, start + ANSWER_CHUNK)
            with self._within(until):
                answers += self._crowd.recommend_many(asked[chunk], risk, met[chunk])
        if explained:
            answers = [self._explain(*one, until) for one in zip(answers, met, strict=True)]
        return [self._for_asker(*one) for one in zip(answers, told, strict=True)]

    def recommend_now(
        self, requests: Sequence[JobRequest], risk: float, queues: Sequence[Queue | None]
    ) -> list[Recommendation] | None:
        """`recommend` for a few jobs, or None where that would have to wait for another thread."""
        told = [_submitted(request) for request in requests]
        asked, met = [self._hashed(request) for request in told], [self._hashed_queue(queue) for queue in queues]
        if not self._lock.acquire_now():
            return None
        try:
            answers = self._crowd.recommend_many(asked, risk, met)
        finally:
            self._lock.release()
        return [self._for_asker(*one) for one in zip(answers, told, strict=True)]

    @contextmanager
    def _within(self, until: float) -> Iterator[None]:
        """The crowd for this thread alone.

        Raises:
            BusyError: it is not free in time, or the time is up already.
        """
        left_s = until - time.monotonic()
        # A lock that is free is taken even with no time left.
        if left_s <= 0 or not self._lock.acquire(timeout=min(left_s, threading.TIMEOUT_MAX)):
            raise BusyError("the time for this request is up; send fewer jobs at once, or try again when less is asked")
        try:
            yield
        finally:
            self._lock.release()

    def _explain(self, answer: Recommendation, queue: Queue | None, until: float) -> Recommendation:
        with self._within(until):
            return explain(self._crowd, answer, queue)

    def _hashed(self, request: JobRequest) -> JobRequest:
        return self._pseudonyms.request(request) if self._pseudonyms else request

    def _hashed_queue(self, queue: Queue | None) -> Queue | None:
        return queue.seen_under(self._pseudonyms.name) if queue and self._pseudonyms else queue

    def _for_asker(self, answer: Recommendation, told: JobRequest) -> Recommendation:
        """The answer to who asked: with the names as they were told."""
        return replace(answer, request=told) if self._pseudonyms else answer

    def learn(self, store: JobStore, *, at_most: int | None = None) -> int:
        """Learn from the jobs of which the store has heard the end since last time, and return how many.

        With `at_most`, of a long backlog only the newest: a person who waits is not to wait for all of it. While
        another thread is at it, this one leaves it to that.

        Raises:
            StoreError: it cannot be read; the next call goes on where this one stopped.
        """
        if not self._learning.acquire(timeout=WAIT_S):
            return 0
        try:
            return self._catch_up(store, at_most)
        finally:
            self._learning.release()

    def _catch_up(self, store: JobStore, at_most: int | None) -> int:
        last = store_follow.position(store)
        # Trained elsewhere, or on another store: what is in this one already may be in the model.
        position = last if self._position is None else min(self._position, last)
        if at_most is not None:
            position = max(position, last - at_most)
        learnt, more = 0, True
        while more:
            news = store_follow.ended_after(store, position, NEWS_LIMIT)
            for start in range(0, len(news.jobs), LEARN_CHUNK):
                self._observe(self._in_right_units(news.jobs[start : start + LEARN_CHUNK]))
            self._position = position = news.position
            learnt, more = learnt + len(news.jobs), news.more
        return learnt

    def _in_right_units(self, jobs: Sequence[Job]) -> list[Job]:
        """What can be learnt by now; a unit error is said once, when it is noticed."""
        known = len(self._guard.findings)
        cleared = [job for one in jobs for job in self._guard.admit(one)]
        for finding in self._guard.findings[known:]:
            log.error("%s: a unit error; such jobs are not learnt, until their memory is as it was", finding)
        self._guard.take_refused()
        return cleared

    def _observe(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        with self._lock:
            try:
                self._crowd.observe_many(jobs)
            except Exception:
                # One strange job must not keep the crowd from learning of all that come after it.
                if len(jobs) == 1:
                    log.exception("cannot learn from job %s", jobs[0]["job_id"])
                    return
            else:
                return
        for job in jobs:
            self._observe([job])


def _submitted(request: JobRequest) -> JobRequest:
    return replace(request, submit_time=time.time()) if request.submit_time is None else request
