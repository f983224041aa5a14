"""Who may ask what: tokens, the session cookie of a page, and what comes from this machine."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings
from tests.api.conftest import serving

JOB = {"user": "user1", "req_mem_mb": 16384}
OPERATORS = ("/v1/models", "/v1/report/usage", "/v1/report/model", "/metrics")


@pytest.fixture
def strict(settings: Settings) -> Iterator[httpx.Client]:
    """A service that lets nobody in without a token."""
    with serving(replace(settings, trust_local=None)) as client:
        yield client


def bearer(settings: Settings, user: str, role: Role, expires: float | None = None) -> dict[str, str]:
    _, text = TokenFile.of(settings).create(user, role, expires=expires)
    return {"Authorization": f"Bearer {text}"}


def test_without_a_token_nothing_but_health_answers(strict: httpx.Client) -> None:
    assert strict.get("/healthz").status_code == 200
    assert strict.get("/readyz").status_code == 200
    for answer in (strict.post("/v1/predict", json=JOB), strict.get("/v1/model"), *map(strict.get, OPERATORS)):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
        assert "crowdrun token create" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer crowdrun_00000000_x", "Bearer \xff"])
def test_what_is_no_token_lets_nobody_in_not_even_where_this_machine_is_trusted(
    service: httpx.Client, strict: httpx.Client, text: str
) -> None:
    headers = {"Authorization": text.encode("latin-1")}
    for client in (service, strict):
        assert client.post("/v1/predict", json=JOB, headers=headers).status_code == 401


def test_a_token_holds_until_it_is_revoked_or_expires(strict: httpx.Client, settings: Settings) -> None:
    headers = bearer(settings, "user1", Role.SUBMIT)
    assert strict.post("/v1/predict", json=JOB, headers=headers).status_code == 200
    (token,) = TokenFile.of(settings).list()
    TokenFile.of(settings).revoke(token.id)
    assert strict.post("/v1/predict", json=JOB, headers=headers).status_code == 401
    late = bearer(settings, "user1", Role.SUBMIT, expires=1.0)
    assert strict.post("/v1/predict", json=JOB, headers=late).status_code == 401


def test_the_file_of_tokens_holds_no_token_and_is_the_owners(settings: Settings) -> None:
    text = bearer(settings, "user1", Role.ADMIN)["Authorization"].split()[1]
    path = TokenFile.of(settings).path
    assert path.stat().st_mode & 0o077 == 0
    assert text not in path.read_text()
    assert text.split("_", 2)[2] not in path.read_text()


def test_a_damaged_file_of_tokens_lets_nobody_in(strict: httpx.Client, settings: Settings) -> None:
    headers = bearer(settings, "user1", Role.ADMIN)
    TokenFile.of(settings).path.write_text("[{")
    answer = strict.post("/v1/predict", json=JOB, headers=headers)
    assert answer.status_code == 503
    assert "tokens.json" not in answer.text


def test_a_user_asks_for_own_jobs_and_sees_own_jobs_alone(strict: httpx.Client, settings: Settings) -> None:
    own, operator = bearer(settings, "user1", Role.SUBMIT), bearer(settings, "root", Role.OPERATOR)
    assert strict.post("/v1/predict", json=JOB, headers=own).json()["request"]["user"] == "user1"
    assert strict.post("/v1/predict", json={"req_mem_mb": 16384}, headers=own).status_code == 200
    refused = strict.post("/v1/predict", json=[JOB, {"user": "user2"}], headers=own)
    assert refused.status_code == 403
    assert strict.post("/v1/predict", json={"user": "user2"}, headers=operator).status_code == 200
    # Jobs 1000, 1001, ... are of user0, user1, ...
    assert strict.get("/v1/jobs/1001", headers=own).json()["runs"][0]["user"] == "user1"
    assert strict.get("/v1/jobs/1002", headers=own).status_code == 404
    assert strict.get("/v1/jobs/1002", headers=own).json()["detail"].replace("1002", "") == strict.get(
        "/v1/jobs/999999", headers=own
    ).json()["detail"].replace("999999", "")
    assert strict.get("/v1/jobs/1002", headers=operator).status_code == 200


def test_a_users_token_does_not_open_what_is_the_operators(strict: httpx.Client, settings: Settings) -> None:
    own, operator = bearer(settings, "user1", Role.SUBMIT), bearer(settings, "root", Role.OPERATOR)
    for path in OPERATORS:
        assert strict.get(path, headers=own).status_code == 403
        assert strict.get(path, headers=operator).status_code == 200
    outcome = {"job_id": "1", "state": "COMPLETED"}
    assert strict.post("/v1/jobs", json=outcome, headers=own).status_code == 403
    assert strict.post("/v1/retrain", headers=own).status_code == 403
    assert strict.post("/v1/retrain", params={"force": True}, headers=operator).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ],
)
def test_what_only_seems_to_come_from_this_machine_needs_a_token(
    service: httpx.Client, headers: dict[str, str]
) -> None:
    assert service.post("/v1/predict", json=JOB).status_code == 200
    assert service.post("/v1/predict", json=JOB, headers=headers).status_code == 401


def test_a_cookie_counts_but_not_from_a_page_of_another_host(strict: httpx.Client, settings: Settings) -> None:
    text = bearer(settings, "user1", Role.SUBMIT)["Authorization"].split()[1]
    cookie = {"Cookie": f"other=1; crowdrun_token={text}"}
    own = {"Origin": str(strict.base_url).rstrip("/")}
    assert strict.get("/v1/jobs/1001", headers=cookie).status_code == 200
    assert strict.post("/v1/predict", json=JOB, headers=cookie | own).status_code == 200
    assert strict.post("/v1/predict", json=JOB, headers=cookie | {"Origin": "https://evil.example"}).status_code == 401
    assert strict.get("/v1/jobs/1001", headers={"Cookie": "crowdrun_token=rubbish"}).status_code == 401
