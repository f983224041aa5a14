"""Single jobs that are answered together, on a crowd that is a list of what was asked."""

import asyncio
from collections.abc import Sequence

import pytest

from crowdrun.api.serving.together import MOST_TOGETHER, Together
from crowdrun.data.errors import BusyError
from crowdrun.data.job import JobRequest, Recommendation

ODD = JobRequest(user="odd")


class Answering:
    """Answers at once unless it is busy; one job that it is asked about cannot be answered."""

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.now: list[int] = []
        self.later: list[int] = []

    def recommend_now(
        self, requests: Sequence[JobRequest], risk: float | None, queues: Sequence[object]
    ) -> list[Recommendation] | None:
        assert len(requests) == len(queues)
        if self.busy:
            return None
        self.now.append(len(requests))
        return self._told(requests, risk)

    def recommend(
        self, requests: Sequence[JobRequest], risk: float | None, queues: Sequence[object]
    ) -> list[Recommendation]:
        self.later.append(len(requests))
        return self._told(requests, risk)

    def _told(self, requests: Sequence[JobRequest], risk: float | None) -> list[Recommendation]:
        if ODD in requests:
            raise BusyError("odd")
        return [Recommendation(request=one, risk=risk or 0.05, predictions={}) for one in requests]


def asked_at_once(service: Answering, requests: Sequence[JobRequest], risks: Sequence[float]) -> list[object]:
    async def ask() -> list[object]:
        together = Together(service)
        every = [together.ask(one, risk, None) for one, risk in zip(requests, risks, strict=True)]
        return list(await asyncio.gather(*every, return_exceptions=True))

    return asyncio.run(ask())


def of_users(number: int) -> list[JobRequest]:
    return [JobRequest(user=f"user{place}") for place in range(number)]


@pytest.mark.parametrize("busy", [False, True])
def test_each_gets_the_answer_to_its_own_question(busy: bool) -> None:
    service, requests = Answering(busy=busy), of_users(20)
    answers = asked_at_once(service, requests, [0.05] * 20)
    assert [answer.request for answer in answers if isinstance(answer, Recommendation)] == requests
    assert (service.now, service.later) == (([], [20]) if busy else ([20], []))


def test_many_are_answered_in_several_calls() -> None:
    service, number = Answering(), 2 * MOST_TOGETHER + 1
    answers = asked_at_once(service, of_users(number), [0.05] * number)
    assert all(isinstance(answer, Recommendation) for answer in answers)
    assert service.now == [MOST_TOGETHER, MOST_TOGETHER, 1]


def test_those_with_another_risk_are_answered_apart() -> None:
    service = Answering()
    answers = asked_at_once(service, of_users(4), [0.05, 0.1, 0.05, 0.1])
    assert [answer.risk for answer in answers if isinstance(answer, Recommendation)] == [0.05, 0.1, 0.05, 0.1]
    assert service.now == [2, 2]


@pytest.mark.parametrize("busy", [False, True])
def test_a_job_that_fails_fails_alone(busy: bool) -> None:
    answers = asked_at_once(Answering(busy=busy), [*of_users(3), ODD], [0.05] * 4)
    assert [type(answer) for answer in answers] == [Recommendation] * 3 + [BusyError]


def test_who_no_longer_waits_disturbs_nobody() -> None:
    async def ask() -> Recommendation:
        together = Together(Answering())
        gone, stays = (asyncio.ensure_future(together.ask(one, None, None)) for one in of_users(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(ask()).request.user == "user1"
