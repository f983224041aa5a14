"""The client: what it asks, how long it is patient, and what it says when that is over."""

import itertools
import time
from dataclasses import replace

import httpx
import pandas as pd
import pytest
from click.testing import CliRunner

from crowdrun.api.cli import crowdrun as cli
from crowdrun.api.client import Client, Patience
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.errors import ServiceError
from crowdrun.data.job import JobRequest
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings
from crowdrun.predictor.persistence import registry
from tests.api.conftest import serving

REQUEST = JobRequest(user="user1", job_name="traina-7", req_mem_mb=16384.0, submit_time=1.8e9)
QUICK = Patience(first_wait_s=0.01, budget_s=5.0)


def client_of(*answers: httpx.Response | Exception, patience: Patience = QUICK) -> tuple[Client, list[httpx.Request]]:
    """A client whose service gives these answers, the last one again and again; and what it was asked."""
    asked: list[httpx.Request] = []
    given = itertools.chain(answers, itertools.repeat(answers[-1]))

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        one = next(given)
        if isinstance(one, Exception):
            raise one
        return one

    return Client("http://service", "t0ken", patience=patience, transport=httpx.MockTransport(answer)), asked


STORED = httpx.Response(200, json={"new": 1, "known": 0})
BUSY = httpx.Response(503, json={"detail": "busy"})


def test_it_says_what_the_service_says(service: httpx.Client, settings: Settings, job_log: pd.DataFrame) -> None:
    with Client(str(service.base_url)) as client:
        answer = client.predict(REQUEST, risk=0.1, explain=True)
        direct = service.post(
            "/v1/predict",
            params={"risk": 0.1, "explain": True},
            json={"user": "user1", "job_name": "traina-7", "req_mem_mb": 16384.0, "submit_time": 1.8e9},
        )
        assert answer.model_dump(mode="json") == direct.json()
        assert answer.to_record().predictions["mem_mb"].asked_risk == pytest.approx(
            answer.predictions["mem_mb"].asked_risk, abs=1e-4
        )
        assert [one.request["user"] for one in client.predict_many([REQUEST] * 3)] == ["user1"] * 3
        assert client.record([{"job_id": "c 1", "state": "COMPLETED"}]).new == 1
        assert client.job("c 1").runs[0]["state"] == "COMPLETED"
        assert client.job("1000").runs[0]["user"] == "user0"
        current = registry.current_id(settings.models_dir)
        assert client.model().id == client.models().current == client.activate(current).current == current
        assert client.usage().total.jobs == len(job_log)
        assert client.model_report().id == current


def test_what_passes_is_tried_again_and_what_does_not_is_not() -> None:
    client, asked = client_of(BUSY, httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), STORED)
    assert client.record([{}]).new == 1
    assert len(asked) == 4
    client, asked = client_of(httpx.Response(422, json={"detail": "req_mem_mb is wrong"}))
    with pytest.raises(ServiceError, match="422: req_mem_mb is wrong") as caught:
        client.record([{}])
    assert caught.value.status == 422
    assert len(asked) == 1
    assert asked[0].headers["authorization"] == "Bearer t0ken"


def test_it_waits_as_long_as_it_is_told_and_not_beyond_its_budget() -> None:
    client, asked = client_of(httpx.Response(429, headers={"Retry-After": "1"}, json={"detail": "slowly"}), STORED)
    began = time.monotonic()
    assert client.record([{}]).new == 1
    assert time.monotonic() - began >= 1
    client, asked = client_of(httpx.Response(503, headers={"Retry-After": "60"}, json={"detail": "later"}))
    with pytest.raises(ServiceError, match="503: later"):
        client.record([{}])
    assert len(asked) == 1


def test_a_service_that_is_down_is_not_asked_four_times_as_often() -> None:
    client, asked = client_of(BUSY, patience=replace(QUICK, retry_reserve=6.0, retry_share=0.1, first_wait_s=0.0))
    for _ in range(30):
        with pytest.raises(ServiceError):
            client.record([{}])
    assert len(asked) <= 30 + 6 + 3


def test_a_retraining_is_not_begun_twice_where_the_answer_was_lost() -> None:
    client, asked = client_of(httpx.ReadTimeout("lost"))
    with pytest.raises(ServiceError):
        client.retrain()
    assert len(asked) == 1
    client, asked = client_of(httpx.ConnectError("refused"))
    with pytest.raises(ServiceError, match="after 4 attempts"):
        client.retrain()
    assert len(asked) == 4


def test_an_answer_of_something_else_is_told_as_such() -> None:
    client, _ = client_of(httpx.Response(200, text="<html>It works!</html>"))
    with pytest.raises(ServiceError, match="something else than crowdrun"):
        client.model()


def test_predict_remote_shows_what_predict_shows(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = TokenFile.of(settings).create("user1", Role.SUBMIT)
    monkeypatch.setenv("CROWDRUN_TOKEN", token)
    asked = ["predict", "--user", "user1", "--job-name", "traina-7", "--mem", "16G", "--time", "60"]
    with serving(replace(settings, trust_local=None)) as service:
        remote = CliRunner().invoke(cli, [*asked, "--remote", "--url", str(service.base_url)])
        refused = CliRunner().invoke(cli, ["predict", "--user", "user2", "--remote", "--url", str(service.base_url)])
    assert remote.exit_code == 0, remote.output
    assert "with the same user" in remote.output
    assert "16G" in remote.output
    assert isinstance(refused.exception, ServiceError)
    assert "asks for own jobs alone" in str(refused.exception)
