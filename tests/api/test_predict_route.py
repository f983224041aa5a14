"""POST /v1/predict and /v1/advice over the whole application."""

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.api.schemas.job import BATCH_LIMIT
from crowdrun.api.serving.service import EXPLAIN_LIMIT
from crowdrun.data.job import REQUEST_FIELDS
from crowdrun.data.settings import Settings
from crowdrun.predictor.persistence import registry

if TYPE_CHECKING:
    from crowdrun.predictor.crowd import Crowd

JOB = {"user": "user1", "group": "group1", "job_name": "trainb-999", "req_mem_mb": 16384, "partition": "batch"}


def test_one_job_gets_one_recommendation(service: httpx.Client, settings: Settings) -> None:
    answer = service.post("/v1/predict", json=JOB)
    assert answer.status_code == 200
    body = answer.json()
    memory = body["predictions"]["mem_mb"]
    assert 0 < memory["quantiles"]["0.5"] <= memory["safe"] <= 16384
    assert list(memory["quantiles"].values()) == sorted(memory["quantiles"].values())
    assert body["model_id"] == registry.current_id(settings.models_dir)
    assert body["request"]["user"] == "user1"
    assert body["request"]["submit_time"] > 1.7e9
    assert body["risk"] == 0.05


def test_the_risk_of_any_request_can_be_read_off_the_curve(service: httpx.Client) -> None:
    memory = service.post("/v1/predict", json=JOB).json()["predictions"]["mem_mb"]
    values, risks = zip(*memory["risk_curve"], strict=True)
    assert list(values) == sorted(values)
    assert list(risks) == sorted(risks, reverse=True)
    for what in ("safe", "lean"):
        assert np.interp(memory[what], values, risks) == pytest.approx(memory[f"{what}_risk"], abs=1e-4)
    assert memory["asked_risk"] < memory["safe_risk"] <= 0.1
    tight = service.post("/v1/predict", json=JOB | {"req_mem_mb": 100}).json()["predictions"]["mem_mb"]
    assert tight["asked_risk"] > 0.9
    assert tight["evidence"]["above_request"] == tight["evidence"]["jobs"]


def test_an_explanation_is_given_when_it_is_asked_for(service: httpx.Client) -> None:
    plain = service.post("/v1/predict", json=JOB).json()
    assert plain["predictions"]["mem_mb"]["explanation"] is None
    answer = service.post("/v1/predict", params={"explain": True}, json=[JOB, JOB]).json()
    for said in (one["predictions"]["mem_mb"]["explanation"] for one in answer):
        assert (said["member"], said["missing"]) == ("boosted", None)
        assert [level["level"] for level in said["levels"]] == [0.5, 0.95]
        for level in said["levels"]:
            amounts = sum(one["amount"] for one in level["attributions"])
            assert level["base"] + amounts == pytest.approx(level["prediction"])
        assert said["counterfactuals"]
        assert said["sentences"]


def test_a_batch_is_explained_up_to_a_limit(service: httpx.Client) -> None:
    answer = service.post("/v1/predict", params={"explain": True}, json=[JOB] * (EXPLAIN_LIMIT + 1))
    assert answer.status_code == 422
    assert f"at most {EXPLAIN_LIMIT} jobs at once, got {EXPLAIN_LIMIT + 1}" in answer.json()["detail"]


def test_a_batch_gets_a_list_in_the_same_order(service: httpx.Client) -> None:
    jobs = [JOB | {"job_id": str(number)} for number in range(600)]
    answer = service.post("/v1/predict", json=jobs)
    assert answer.status_code == 200
    assert [one["request"]["job_id"] for one in answer.json()] == [job["job_id"] for job in jobs]


def test_a_smaller_risk_never_recommends_less(service: httpx.Client) -> None:
    risks = (0.3, 0.1, 0.05, 0.01)
    safe = [
        service.post("/v1/predict", params={"risk": risk}, json=JOB).json()["predictions"]["mem_mb"]["safe"]
        for risk in risks
    ]
    assert safe == sorted(safe)


@pytest.mark.parametrize(
    ("body", "field", "pointer", "value", "allowed"),
    [
        ({"req_mem_mb": -1}, "req_mem_mb", "/req_mem_mb", "-1", "greater than or equal to 0"),
        ([JOB, {"req_cpus": "four"}], "req_cpus", "/1/req_cpus", "'four'", "valid integer"),
        ({"req_memory": 5}, "req_memory", "/req_memory", "5", "did you mean req_mem_mb? the fields are job_id, user"),
        ({"user": "a\x00b"}, "user", "/user", r"'a\x00b'", "match pattern"),
        ({"req_gpus": True}, "req_gpus", "/req_gpus", "True", "valid integer"),
        ({"submit_time": 1e300}, "submit_time", "/submit_time", "1e+300", "less than or equal to"),
        ([], "body", "", "[]", "at least 1 item"),
        (3, "body", "", "3", "be an object"),
        ("x" * 5000, "body", "", "'xxx", "be an object"),
    ],
)
def test_a_validation_error_names_field_value_and_what_is_allowed(
    service: httpx.Client, body: Any, field: str, pointer: str, value: str, allowed: str
) -> None:
    answer = service.post("/v1/predict", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert problem["title"] == "Unprocessable Content" or problem["title"] == "Unprocessable Entity"
    (error,) = problem["errors"]
    assert (error["field"], error["pointer"]) == (field, pointer)
    assert error["value"].startswith(value)
    assert allowed in error["allowed"]
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"req_mem_mb": NaN}',
        b'{"req_mem_mb": 1e999}',
        b'{"user": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"req_cpus": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"req_cpus": 99999999999999999999}',
    ],
)
def test_whatever_bytes_come_the_answer_is_a_problem_of_the_caller(service: httpx.Client, content: bytes) -> None:
    answer = service.post("/v1/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(REQUEST_FIELDS) | st.text(), inner),
    max_leaves=20,
)


@given(body=_JSON)
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
def test_whatever_json_comes_nothing_breaks(service: httpx.Client, body: Any) -> None:
    content = json.dumps(body).encode()
    for path in ("/v1/predict", "/v1/advice", "/v1/jobs"):
        answer = service.post(path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400, 422)
        if answer.status_code != 200:
            assert answer.json()["detail"]


def test_a_risk_outside_its_bounds_is_refused_with_the_bounds(service: httpx.Client) -> None:
    answer = service.post("/v1/predict", params={"risk": "0.9"}, json=JOB)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "risk"
    assert "0.5" in answer.json()["errors"][0]["allowed"]


def test_a_batch_over_the_limit_is_refused_and_says_the_limit(service: httpx.Client) -> None:
    answer = service.post("/v1/predict", json=[{}] * (BATCH_LIMIT + 1))
    assert answer.status_code == 422
    assert str(BATCH_LIMIT) in answer.json()["detail"]


def test_what_csbatch_sends_is_answered_in_one_line(service: httpx.Client) -> None:
    submission = {"options": {"mem": "16G", "time": "1:00:00"}, "script": "trainb-999", "user": "user1"}
    line = service.post("/v1/advice", json=submission).json()["line"]
    assert line.startswith("asked 16G")
    # How large it is depends on the hour.
    assert "keeps the out-of-memory risk" in line
    assert "\n" not in line


def test_an_option_that_sbatch_would_refuse_is_named(service: httpx.Client) -> None:
    answer = service.post("/v1/advice", json={"options": {"mem": "lots"}})
    assert answer.status_code == 422
    assert "--mem is 'lots'" in answer.json()["detail"]


QUEUE = [{"user": "user2", "partition": "batch", "submit_time": 1.7e9 + k, "req_cpus": 4} for k in range(30)]


def test_a_job_with_its_queue_is_told_its_wait(
    service: httpx.Client, settings: Settings, waiting_crowd: "Crowd"
) -> None:
    registry.publish(waiting_crowd, settings.models_dir, store_position=None)
    job = {"user": "user1", "partition": "batch", "submit_time": 1.7e9 + 600, "job_name": "train"}
    for _ in range(100):
        answers = service.post("/v1/predict", json=[job, job | {"queue": []}, job | {"queue": QUEUE}]).json()
        if "wait_s" in answers[0]["predictions"]:
            break
        time.sleep(0.1)
    blind, empty, full = (answer["predictions"]["wait_s"] for answer in answers)
    assert empty["lean"] < full["lean"]
    assert blind["quantiles"]["0.95"] >= blind["quantiles"]["0.5"]
    assert "queue" not in answers[2]["request"]


def test_a_queue_with_a_field_that_no_job_has_is_refused_by_name(service: httpx.Client) -> None:
    answer = service.post("/v1/predict", json=JOB | {"queue": [QUEUE[0], {"submit_time": 1.0, "cpus": 4}]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/queue/1/cpus"
    assert service.post("/v1/jobs", json=JOB | {"job_id": "1", "state": "COMPLETED", "queue": []}).status_code == 422
