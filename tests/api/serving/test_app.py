"""The service as a whole: health, model, problems for every error, limits, the OpenAPI document."""

from collections.abc import Iterator

import httpx
import pytest

from crowdrun.api.serving.limits import BODY_LIMIT_BYTES
from crowdrun.data.settings import Settings
from crowdrun.predictor.persistence import registry


def test_health_readiness_and_model(service: httpx.Client, settings: Settings) -> None:
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").status_code == 200
    model = service.get("/v1/model").json()
    assert model["id"] == registry.current_id(settings.models_dir)
    assert model["versions"]["crowdrun"]
    assert model["summary"]


def test_without_a_model_it_lives_stores_and_answers_503_with_advice(empty_service: httpx.Client) -> None:
    client = empty_service
    assert client.get("/healthz").status_code == 200
    for answer in (client.get("/readyz"), client.get("/v1/model"), client.post("/v1/predict", json={})):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert "crowdrun retrain" in answer.json()["detail"]
    assert client.post("/v1/jobs", json={"job_id": "1", "state": "COMPLETED"}).json() == {"new": 1, "known": 0}


def test_an_unknown_address_and_a_wrong_method_are_problems(service: httpx.Client) -> None:
    missing = service.get("/v2/predict")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    wrong = service.get("/v1/predict")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert "POST" in wrong.json()["detail"]


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(service: httpx.Client) -> None:
    content = b" " * (BODY_LIMIT_BYTES + 1)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 2**20):
            yield content[start : start + 2**20]

    for body in (content, pieces()):
        answer = service.post("/v1/predict", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(BODY_LIMIT_BYTES) in answer.json()["detail"]


def test_a_fault_of_ours_is_a_problem_without_our_insides(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowdrun.api.serving.service.Service.recommend_now", lambda *_: 1 / 0)
    answer = service.post("/v1/predict", json={})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "division" not in answer.text
    assert answer.headers["x-request-id"]


def test_the_openapi_document_describes_every_field_and_has_examples(service: httpx.Client) -> None:
    document = service.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/predict", "/v1/advice", "/v1/estimate", "/v1/jobs", "/v1/jobs/{job_id}", "/v1/model", "/v1/models",
        "/v1/models/{model_id}/activate", "/v1/retrain", "/v1/retrain/{retraining_id}", "/v1/report/usage",
        "/v1/report/model", "/v1/runs", "/v1/runs/{run_id}", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    for path in ("/v1/predict", "/v1/estimate", "/v1/jobs"):
        assert document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
    schemas = document["components"]["schemas"]
    for name in ("AskedBody", "EstimateBody", "JobBody"):
        assert schemas[name]["examples"]
        assert schemas[name]["additionalProperties"] is False
        assert all(field["description"] for field in schemas[name]["properties"].values())
    assert "HTTPValidationError" not in schemas
    shown = service.get("/docs")
    assert shown.status_code == 200
    assert shown.headers["content-security-policy"].startswith("default-src 'none'; ")
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}</code>" in shown.text
    for name in schemas:
        assert f'id="schema-{name}"' in shown.text
    assert service.get("/redoc").status_code == 404
