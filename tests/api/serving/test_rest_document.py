"""Every operation of the OpenAPI document, with inputs nobody thinks of: no 5xx, no hang, answers as documented."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from crowdrun.data.settings import Settings
from tests.api.conftest import serving

#: An answer takes longer than this only if something hangs, s.
HANG_S = 60
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("POST", "/v1/predict", 120),
    ("POST", "/v1/advice", 80),
    ("POST", "/v1/estimate", 40),
    ("POST", "/v1/jobs", 80),
    ("GET", "/v1/jobs/{job_id}", 60),
    ("GET", "/v1/model", 10),
    ("GET", "/v1/models", 10),
    ("POST", "/v1/models/{model_id}/activate", 40),
    ("GET", "/v1/retrain", 10),
    ("GET", "/v1/retrain/{retraining_id}", 40),
    ("GET", "/v1/report/usage", 60),
    ("GET", "/v1/report/model", 10),
    ("GET", "/v1/runs", 40),
    ("GET", "/v1/runs/{run_id}", 40),
    ("GET", "/healthz", 10),
    ("GET", "/readyz", 10),
    ("GET", "/metrics", 10),
]
#: A token that is made up is refused before anything else is looked at: so many of a hundred cases come with one.
MADE_UP_TOKENS = 20


@pytest.fixture
def service(settings: Settings) -> Iterator[httpx.Client]:
    with serving(replace(settings, time_limit_s=HANG_S / 2)) as client:
        yield client


def test_no_operation_is_left_out(service: httpx.Client) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    documented = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    # Each would train a model; `test_retrain_route.py` begins some.
    assert documented == {(method, path) for method, path, _ in OPERATIONS} | {("POST", "/v1/retrain")}


@pytest.mark.parametrize(("method", "path", "examples"), OPERATIONS)
def test_whatever_comes_the_answer_is_one_that_is_documented(
    service: httpx.Client, method: str, path: str, examples: int
) -> None:
    schema = schemathesis.openapi.from_url(f"{service.base_url}/openapi.json")
    operation = schema[path][method]

    @hypothesis_settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if data.draw(st.integers(min_value=0, max_value=99)) >= MADE_UP_TOKENS:
            (case.headers or {}).pop("Authorization", None)
        answer = case.call(timeout=HANG_S)
        # Not under test: what Starlette says to methods that no route has.
        case.validate_response(answer, checks=CHECKS)

    holds()
