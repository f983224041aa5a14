"""A client of the REST service for Python programs: typed, with limits of time, and retries that do not pile up.

    with Client() as crowdrun:                                   # CROWDRUN_URL, CROWDRUN_TOKEN
        answer = crowdrun.predict(JobRequest(user="ada", job_name="resnet-7", req_mem_mb=65536))
        print(answer.predictions["mem_mb"].safe, answer.reasons)

What may be sent twice is: predictions and questions, and outcomes, since the service knows a job that it was told of
before. A retraining is not, unless the service says that it did not begin one.
"""

import os
import random
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from crowdrun.api.schemas.answers import (
    JobAnswer,
    ModelAnswer,
    ModelsAnswer,
    RetrainingAnswer,
    StoredAnswer,
    UsageReport,
)
from crowdrun.api.schemas.estimate import EstimateAnswer
from crowdrun.api.schemas.model_report import ModelReport
from crowdrun.api.schemas.recommendation import RecommendationAnswer
from crowdrun.data.errors import ServiceError
from crowdrun.data.job import JobRequest
from crowdrun.data.settings import load_settings

TOKEN_VARIABLE = "CROWDRUN_TOKEN"  # noqa: S105 - the name of a variable
#: Answers after which it may be tried again: the service did nothing, or would do the same again.
_PASSING = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
    }
)  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client waits, and how often it tries again."""

    #: For one answer, s.
    timeout_s: float = 30.0
    #: Attempts at one request.
    attempts: int = 4
    #: Before the second attempt, s; twice as long before each further one, and a random part of that.
    first_wait_s: float = 0.2
    #: For all attempts at one request, s; a service that asks for more patience than is left gets no further attempt.
    budget_s: float = 60.0
    #: Retries for each request in the long run, and at once: a service that is down is not asked four times as often.
    retry_share: float = 0.2
    retry_reserve: float = 10.0


class Client:
    """One service. Safe to use from several threads; close it, or use it as a context."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        url: `http://`, `https://`, or `unix://PATH` for a Unix socket; by default that of the settings.
        token: by default that of CROWDRUN_TOKEN, if there is one.
        transport: httpx's way to the service, e.g. with a site's own certificates.
        """
        self.url = url or load_settings().url
        self._patience = patience or Patience()
        self._reserve = self._patience.retry_reserve
        token = token or os.environ.get(TOKEN_VARIABLE)
        path = urlsplit(self.url).path if self.url.startswith("unix://") else None
        self._http = httpx.Client(
            base_url="http://localhost" if path else self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=self._patience.timeout_s,
            transport=transport or (httpx.HTTPTransport(uds=path) if path else None),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def predict(
        self, request: JobRequest, *, risk: float | None = None, explain: bool = False, script: str | None = None
    ) -> RecommendationAnswer:
        """What one job needs. script: the batch script, for a forecast of a well-known network that it trains.

        Raises (as all others):
            ServiceError: the service cannot be reached, refuses, or fails; says what it said.
        """
        answer = self._ask("POST", "/v1/predict", _asked(risk, explain), _known(request, script))
        return self._read(RecommendationAnswer, answer)

    def predict_many(
        self, requests: Sequence[JobRequest], *, risk: float | None = None, explain: bool = False
    ) -> list[RecommendationAnswer]:
        """What up to 10,000 jobs need, in their order."""
        answer = self._ask("POST", "/v1/predict", _asked(risk, explain), [_known(one) for one in requests])
        return self._read(list[RecommendationAnswer], answer)

    def estimate(self, model: Mapping[str, Any], *, timeout_s: float = 120.0, **how: Any) -> EstimateAnswer:
        """The GPU memory of a training step. model: a description, or {"architecture": NAME}; how: fields of the body.

        A trace that takes too long is not asked for again.
        """
        body = {"model": dict(model)} | how
        passing = _PASSING - {HTTPStatus.GATEWAY_TIMEOUT}
        answer = self._ask("POST", "/v1/estimate", {}, body, passing=passing, timeout_s=timeout_s)
        return self._read(EstimateAnswer, answer)

    def record(self, jobs: Sequence[Mapping[str, Any]]) -> StoredAnswer:
        """Tell how up to 10,000 jobs ended, in canonical columns; those that are known already change nothing."""
        return self._read(StoredAnswer, self._ask("POST", "/v1/jobs", {}, list(jobs)))

    def job(self, job_id: str) -> JobAnswer:
        """What is known of a job."""
        return self._read(JobAnswer, self._ask("GET", f"/v1/jobs/{quote(job_id, safe='')}"))

    def model(self) -> ModelAnswer:
        """The model that answers now."""
        return self._read(ModelAnswer, self._ask("GET", "/v1/model"))

    def models(self) -> ModelsAnswer:
        """All published models."""
        return self._read(ModelsAnswer, self._ask("GET", "/v1/models"))

    def activate(self, model_id: str) -> ModelsAnswer:
        """Take a published model into use."""
        return self._read(ModelsAnswer, self._ask("POST", f"/v1/models/{quote(model_id, safe='')}/activate"))

    def retrain(self, *, if_needed: bool = False, force: bool = False) -> RetrainingAnswer:
        """Begin a retraining."""
        options = {"if_needed": if_needed, "force": force}
        return self._read(RetrainingAnswer, self._ask("POST", "/v1/retrain", options, again_when_lost=False))

    def retraining(self, retraining_id: str) -> RetrainingAnswer:
        """How far a retraining is."""
        return self._read(RetrainingAnswer, self._ask("GET", f"/v1/retrain/{quote(retraining_id, safe='')}"))

    def usage(self, by: str = "user", *, since: float | None = None) -> UsageReport:
        """What jobs held and did not use, by `user`, `account` or `partition`."""
        return self._read(UsageReport, self._ask("GET", "/v1/report/usage", {"by": by, "since": since}))

    def model_report(self) -> ModelReport:
        """How good the model in use is."""
        return self._read(ModelReport, self._ask("GET", "/v1/report/model"))

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        again_when_lost: bool = True,
        passing: Set[int] = _PASSING,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        sent = {name: value for name, value in (parameters or {}).items() if value is not None}
        began, patience = time.monotonic(), self._patience
        self._reserve = min(patience.retry_reserve, self._reserve + patience.retry_share)
        for attempt in range(1, patience.attempts + 1):
            answer, status = None, None
            try:
                answer = self._http.request(
                    method, path, params=sent, json=body, timeout=timeout_s or patience.timeout_s
                )
                status = answer.status_code
                complaint, is_passing = _complaint(answer), status in passing
            except httpx.TransportError as error:
                complaint = str(error) or type(error).__name__
                is_passing = again_when_lost or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if answer is not None and complaint is None:
                return answer
            wait_s = max(_wanted_s(answer), patience.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1))
            left_s = patience.budget_s - (time.monotonic() - began)
            if not is_passing or attempt == patience.attempts or wait_s > left_s or self._reserve < 1:
                break
            self._reserve -= 1
            time.sleep(wait_s)
        tried = f" after {attempt} attempts" if attempt > 1 else ""
        raise ServiceError(f"{method} {self.url}{path}{tried}: {complaint}", status=status)

    def _read(self, kind: type[T], answer: httpx.Response) -> T:
        try:
            return TypeAdapter(kind).validate_json(answer.content)
        except ValidationError as error:
            raise ServiceError(
                f"{self.url} answers something else than crowdrun would: {answer.text[:200]!r}; look at the address"
            ) from error


def _asked(risk: float | None, explain: bool) -> dict[str, Any]:
    return {"risk": risk, "explain": explain or None}


def _known(request: JobRequest, script: str | None = None) -> dict[str, Any]:
    told = asdict(request) | {"script": script}
    return {name: value for name, value in told.items() if value is not None}


def _complaint(answer: httpx.Response) -> str | None:
    if answer.is_success:
        return None
    try:
        return f"{answer.status_code}: {answer.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code}: {answer.text[:200]!r}"


def _wanted_s(answer: httpx.Response | None) -> float:
    """What `Retry-After` says (RFC 9110, section 10.2.3): seconds, or a date."""
    text = answer.headers.get("Retry-After", "") if answer is not None else ""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else 0.0
    except ValueError:
        return 0.0
