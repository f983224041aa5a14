"""POST /v1/jobs: stored once, learnt once."""

from typing import Any

import httpx
import pytest

from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore


def ended(number: int, **more: Any) -> dict[str, Any]:
    start = 1.8e9 + 1000.0 * number
    job = {"job_id": f"new-{number}", "user": "newcomer", "job_name": "fresh", "req_mem_mb": 16384.0}
    times = {"submit_time": start - 10, "start_time": start, "end_time": start + 600}
    return job | times | {"state": "COMPLETED", "peak_mem_mb": 2000.0} | more


def stored(settings: Settings) -> int:
    with JobStore.open(settings.store) as store:
        return store.count()


def test_a_job_is_stored_once_however_often_it_is_sent(service: httpx.Client, settings: Settings) -> None:
    before = stored(settings)
    assert service.post("/v1/jobs", json=ended(1)).json() == {"new": 1, "known": 0}
    assert service.post("/v1/jobs", json=ended(1)).json() == {"new": 0, "known": 1}
    assert service.post("/v1/jobs", json=[ended(1), ended(2), ended(2)]).json() == {"new": 1, "known": 2}
    assert stored(settings) == before + 2
    with JobStore.open(settings.store) as store:
        (row,) = store.get("new-2")
    assert row["peak_mem_mb"] == 2000.0


def evidence(service: httpx.Client) -> dict[str, Any] | None:
    request = {"user": "newcomer", "job_name": "fresh", "req_mem_mb": 16384.0, "submit_time": 1.9e9}
    answer = service.post("/v1/predict", json=request).json()
    if "mem_mb" in answer["abstained"]:
        return None
    found: dict[str, Any] = answer["predictions"]["mem_mb"]["evidence"]
    return found


def test_the_crowd_learns_from_each_new_job_once(service: httpx.Client) -> None:
    for _ in range(3):
        assert service.post("/v1/jobs", json=[ended(number) for number in range(10)]).status_code == 200
    found = evidence(service)
    assert found
    assert found["jobs"] == 10
    assert found["median"] == pytest.approx(2000.0, rel=0.01)


def test_a_job_that_comes_without_an_end_is_learnt_from_when_the_end_comes(service: httpx.Client) -> None:
    running = ended(1, state="RUNNING", end_time=None, peak_mem_mb=None)
    service.post("/v1/jobs", json=running)
    assert evidence(service) is None
    for number in range(1, 9):
        service.post("/v1/jobs", json=ended(number))
    found = evidence(service)
    assert found
    assert found["jobs"] == 8


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"state": "DANCING"}, "state", "COMPLETED"),
        ({"job_id": ""}, "job_id", "at least 1 character"),
        ({"gpu_util": 1.5}, "gpu_util", "less than or equal to 1"),
        ({"peak_memory": 7}, "peak_memory", "did you mean peak_mem_mb?"),
    ],
)
def test_what_no_job_can_have_is_refused_by_name_and_nothing_is_stored(
    service: httpx.Client, settings: Settings, change: dict[str, Any], field: str, allowed: str
) -> None:
    before = stored(settings)
    answer = service.post("/v1/jobs", json=[ended(1), ended(2) | change])
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["pointer"] == f"/1/{field}"
    assert allowed in error["allowed"]
    assert stored(settings) == before


def test_a_job_needs_an_id_and_a_state(service: httpx.Client) -> None:
    answer = service.post("/v1/jobs", json={"user": "x"})
    assert {error["field"] for error in answer.json()["errors"]} == {"job_id", "state"}
