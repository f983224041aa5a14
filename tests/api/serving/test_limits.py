"""Limits of rate and time, and the ids and figures that are told of requests."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from crowdrun.api.client import Client, Patience
from crowdrun.api.serving.live_model import ANSWER_CHUNK, LiveModel
from crowdrun.data.job import JobRequest
from crowdrun.data.settings import Settings
from tests.api.conftest import serving

JOB = {"user": "user1", "req_mem_mb": 16384}


@pytest.fixture
def hasty(settings: Settings) -> Iterator[httpx.Client]:
    """A service that takes half a second for a request at most."""
    with serving(replace(settings, time_limit_s=0.5)) as client:
        yield client


def test_who_asks_too_often_is_told_when_to_come_again_and_health_still_answers(settings: Settings) -> None:
    with serving(replace(settings, rate_per_s=2.0)) as client:
        answers = [client.post("/v1/predict", json=JOB) for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert refused
        assert refused[0].headers["content-type"] == "application/problem+json"
        assert int(refused[0].headers["retry-after"]) == 1
        assert client.get("/healthz").status_code == 200
        time.sleep(1)
        assert client.post("/v1/predict", json=JOB).status_code == 200


def test_an_answer_that_takes_too_long_is_a_problem_and_the_service_goes_on(
    hasty: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("crowdrun.api.serving.service.Service.check", lambda _: time.sleep(1.5))
        answer = hasty.get("/readyz")
    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert "0.5 s" in answer.json()["detail"]
    assert hasty.get("/readyz").status_code == 200


def test_a_batch_gives_up_when_its_time_is_over(hasty: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    slow = LiveModel._within

    def within(self: LiveModel, until: float) -> object:
        began.append(time.monotonic())
        time.sleep(0.2)
        return slow(self, until)

    monkeypatch.setattr(LiveModel, "_within", within)
    assert hasty.post("/v1/predict", json=[JOB] * 5000).status_code in (503, 504)
    parts = -1
    while parts != len(began):  # what was under way may end, on a busy machine a while later
        parts = len(began)
        time.sleep(1.5)
    assert parts < 5000 / ANSWER_CHUNK / 2


def test_a_batch_that_cannot_be_done_in_time_is_refused_at_once_and_a_client_comes_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = LiveModel._within

    def within(self: LiveModel, until: float) -> object:
        time.sleep(0.15)
        return slow(self, until)

    monkeypatch.setattr(LiveModel, "_within", within)
    batch = [JOB] * (2 * ANSWER_CHUNK)
    with serving(replace(settings, time_limit_s=1.5)) as client, ThreadPoolExecutor(8) as pool:
        # From the first one the pace is known.
        assert client.post("/v1/predict", json=batch).status_code == 200
        answers = list(pool.map(lambda _: client.post("/v1/predict", json=batch), range(8)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert len(refused) < len(answers)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert "try again later" in refused[0].json()["detail"]
        with Client(str(client.base_url), patience=Patience(attempts=20, retry_reserve=100)) as patient:
            every = list(pool.map(lambda _: patient.predict_many([JobRequest(user="user1")] * len(batch)), range(3)))
    assert [len(told) for told in every] == [len(batch)] * 3


def test_a_body_that_does_not_come_is_not_waited_for(hasty: httpx.Client) -> None:
    with socket.create_connection((hasty.base_url.host, hasty.base_url.port or 80)) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


def test_what_is_not_said_to_be_json_is_refused(hasty: httpx.Client) -> None:
    answer = hasty.post("/v1/predict", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_each_answer_has_an_id_and_a_sound_one_is_taken_over(hasty: httpx.Client) -> None:
    first, second = (hasty.get("/healthz").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert hasty.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert hasty.get("/healthz", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


def test_prometheus_reads_routes_as_they_are_named_and_no_job(hasty: httpx.Client) -> None:
    hasty.post("/v1/predict", json=[JOB, JOB])
    hasty.get("/v1/jobs/very-secret")
    hasty.get("/very-secret")
    told = hasty.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert 'crowdrun_requests_total{method="POST",route="/v1/predict",status="200"}' in told.text
    assert 'route="/v1/jobs/{job_id}",status="404"' in told.text
    assert "very-secret" not in told.text


def test_many_at_once_are_all_answered(hasty: httpx.Client) -> None:
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: hasty.post("/v1/predict", json=JOB).status_code, range(200)))
    assert set(statuses) == {200}
