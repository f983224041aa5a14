"""Single jobs that are asked about at the same moment, answered in one call of the crowd.

Sixteen jobs together take a third of what they take one after the other: a call of numpy costs the same for one row as
for many. Nobody is waited for: what arrived while the last ones were answered is answered next.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.queue_state import Queue

#: Jobs that are answered together; the connections of others wait meanwhile.
MOST_TOGETHER = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One job that somebody waits for."""

    request: JobRequest
    queue: Queue | None
    risk: float | None
    answer: "asyncio.Future[Recommendation]"


class Answers(Protocol):
    """What can answer (`Service`)."""

    def recommend_now(
        self, requests: Sequence[JobRequest], risk: float | None, queues: Sequence[Queue | None]
    ) -> list[Recommendation] | None: ...

    def recommend(
        self, requests: Sequence[JobRequest], risk: float | None, queues: Sequence[Queue | None]
    ) -> list[Recommendation]: ...


class Together:
    """Gathers questions of one event loop."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._waiting: list[Question] = []
        #: Questions that a thread answers; without a reference asyncio would forget them.
        self._elsewhere: set[asyncio.Task[None]] = set()

    async def ask(self, request: JobRequest, risk: float | None, queue: Queue | None) -> Recommendation:
        """The recommendation for one job; raises what the service raises."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # After all that the loop has read by now.
            loop.call_soon(self._answer)
        answer: asyncio.Future[Recommendation] = loop.create_future()
        self._waiting.append(Question(request=request, queue=queue, risk=risk, answer=answer))
        return await answer

    def _answer(self) -> None:
        risk = self._waiting[0].risk
        asked = [one for one in self._waiting if one.risk == risk][:MOST_TOGETHER]
        chosen = set(map(id, asked))
        self._waiting = [one for one in self._waiting if id(one) not in chosen]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        if not self._answered_here(asked):
            task = asyncio.ensure_future(self._answer_elsewhere(asked))
            self._elsewhere.add(task)
            task.add_done_callback(self._elsewhere.discard)

    def _answered_here(self, asked: Sequence[Question]) -> bool:
        """In this thread: a hand-over takes longer than an answer. False where the crowd is busy."""
        try:
            told = self._answers.recommend_now(
                [one.request for one in asked], asked[0].risk, [one.queue for one in asked]
            )
        except Exception as error:
            if len(asked) == 1:
                _fail(asked[0], error)
            else:
                # What is wrong with one is no fault of the others.
                for one in asked:
                    self._answered_here([one])
                return all(one.answer.done() for one in asked)
        else:
            if told is None:
                return False
            _tell(asked, told)
        return True

    async def _answer_elsewhere(self, asked: Sequence[Question]) -> None:
        left = [one for one in asked if not one.answer.done()]
        if not left:
            return
        try:
            told = await run_in_threadpool(
                self._answers.recommend, [one.request for one in left], left[0].risk, [one.queue for one in left]
            )
        except Exception as error:
            if len(left) == 1:
                _fail(left[0], error)
                return
            for one in left:
                await self._answer_elsewhere([one])
        else:
            _tell(left, told)


def _tell(asked: Sequence[Question], told: Sequence[Recommendation]) -> None:
    for one, answer in zip(asked, told, strict=True):
        # Who no longer waits has cancelled.
        if not one.answer.done():
            one.answer.set_result(answer)


def _fail(one: Question, error: Exception) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
