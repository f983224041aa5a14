"""Every error of the service as problem details (RFC 9457, application/problem+json).

A validation error lists each field that is wrong, its value and what is allowed:

    {"title": "Unprocessable Content", "status": 422, "detail": "1 field cannot be used: ...",
     "errors": [{"field": "req_mem_mb", "pointer": "/req_mem_mb", "value": "-1",
                 "allowed": "Input should be greater than or equal to 0"}]}
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from crowdrun.api.schemas.advice import SubmissionBody
from crowdrun.api.schemas.estimate import EstimateBody
from crowdrun.api.schemas.job import AskedBody, JobBody
from crowdrun.api.serving.request_id import REQUEST_ID, request_id
from crowdrun.data.description.complaint import allowed_text, essential, fields_of, one_complaint, place_text
from crowdrun.data.errors import (
    BusyError,
    CrowdrunError,
    DescriptionError,
    ForecastError,
    ModelError,
    NotEnoughDataError,
    NotInstalledError,
    RequestError,
    StoreError,
    TooLongError,
)

log = logging.getLogger("crowdrun.service")

MEDIA_TYPE = "application/problem+json"
#: Fields that a problem lists; the rest are counted.
ERROR_LIMIT = 20
#: Characters of a wrong value that are sent back.
VALUE_CHARACTERS = 200
#: Parts of a place that say where the field was sent.
_TAGS = frozenset({"body", "query", "path", "job", "jobs"})
#: Errors of ours -> HTTP status; the first class that fits.
STATUSES: Sequence[tuple[type[CrowdrunError], HTTPStatus]] = (
    (RequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (DescriptionError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ForecastError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotInstalledError, HTTPStatus.NOT_IMPLEMENTED),
    (TooLongError, HTTPStatus.GATEWAY_TIMEOUT),
    (ModelError, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotEnoughDataError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (CrowdrunError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
#: Addresses that take descriptions of models.
_DESCRIBING = frozenset({"/v1/estimate"})
_BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/predict": AskedBody,
    "/v1/jobs": JobBody,
    "/v1/advice": SubmissionBody,
    "/v1/estimate": EstimateBody,
}


class FieldError(BaseModel):
    """One field that cannot be used."""

    field: str
    pointer: str = Field(description="the place in the body (RFC 6901)")
    value: str
    allowed: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


_TEXTS: Mapping[int, str] = {
    400: "the request cannot be read",
    401: "a token is needed",
    403: "the token does not allow it",
    404: "there is no such thing, or it is not yours to see",
    408: "the body did not come in time",
    409: "it cannot be done now",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "a field cannot be used",
    501: "a library that it needs is not installed where the service runs",
    429: "too many requests from here; `Retry-After` says when to try again",
    503: "no model is published, the store cannot be reached, or the service is busy",
    504: "it took too long",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: problems with which a route may answer."""
    return {
        status: {"description": _TEXTS[status], "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE}}}}
        for status in statuses
    }


_REFERENCE = f"#/components/schemas/{Problem.__name__}"
#: What every route with a caller may answer beside its own.
RESPONSES = documented(400, 401, 403, 408, 413, 415, 422, 429, 503, 504)


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The answer for one error. ASCII only: what came may hold text that is not valid Unicode."""
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return Response(json.dumps(content), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(RequestValidationError)
    def validation(request: Request, error: RequestValidationError) -> Response:
        return _validation(request.url.path, error)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, _detail(error), headers=error.headers)

    @app.exception_handler(CrowdrunError)
    def ours(_: Request, error: CrowdrunError) -> Response:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        # Of who is refused because much is asked the line of the request says enough.
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, BusyError):
            log.warning("%s", error)
        return problem(status, str(error), headers=_retry_after(error))

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> Response:
        # Starlette logs the traceback; the caller learns no more than that it is our fault.
        del error
        detail = "crowdrun failed on this request; the log of the service says where"
        return problem(500, detail, headers={REQUEST_ID: request_id()})


def _retry_after(error: CrowdrunError) -> Mapping[str, str] | None:
    """In whole seconds, one at least."""
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))} if isinstance(error, BusyError) else None


def _detail(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return "there is nothing at this address; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"this address does not take that method; allowed: {(error.headers or {}).get('Allow', 'see /docs')}"
    return str(error.detail)


def _validation(path: str, error: RequestValidationError) -> Response:
    items = essential(error.errors()) if path in _DESCRIBING else error.errors()
    errors = [_field_error(path, item) for item in items[:ERROR_LIMIT]]
    count, first = len(items), errors[0]
    detail = f"{count} field{'s' * (count > 1)} cannot be used, first {first['field']}: {first['allowed']}"
    if errors[0]["pointer"].startswith("/model/"):
        detail = one_complaint(items[0], place_text([part for part in items[0]["loc"] if part not in _TAGS]))
    return problem(422, detail, errors=errors)


def _field_error(path: str, item: Mapping[str, Any]) -> dict[str, str]:
    if item["type"] == "json_invalid":
        reason = item.get("ctx", {}).get("error", item["msg"])
        shown = f"character {item['loc'][-1]}" if item["loc"] else repr(item["input"])[:VALUE_CHARACTERS]
        return {"field": "body", "pointer": "", "value": shown, "allowed": f"JSON: {reason}"}
    loc = fields_of(item["loc"]) if path in _DESCRIBING else item["loc"]
    place = [str(part) for part in loc if part not in _TAGS]
    return {
        "field": next((part for part in reversed(place) if not part.isdecimal()), "body")[:VALUE_CHARACTERS],
        "pointer": "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)[:VALUE_CHARACTERS],
        "value": repr(item.get("input"))[:VALUE_CHARACTERS],
        "allowed": _allowed(path, item, place),
    }


def _allowed(path: str, item: Mapping[str, Any], place: Sequence[str]) -> str:
    if item["type"] != "extra_forbidden":
        if place[:1] == ["model"]:
            return allowed_text(item)
        return str(item["msg"]).removeprefix("Value error, ")
    if place[:1] == ["model"] and len(place) > 1:
        return "it is no field that is known there"
    names = list(_BODIES[path].model_fields) if path in _BODIES else []
    near = get_close_matches(place[-1], names, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}the fields are {', '.join(names)}"
