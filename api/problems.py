"""Every error of the service as problem details (RFC 9457, application/problem+json).

A validation error lists each field that is wrong, its value and what is allowed:

    {"title": "Unprocessable Content", "status": 422, "detail": "1 field cannot be used: ...",
     "errors": [{"field": "req_mem_mb", "pointer": "/req_mem_mb", "value": "-1",
                 "allowed": "Input should be greater than or equal to 0"}]}
"""

import json
import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from crowdrun.api.schemas import AskedBody, JobBody, SubmissionBody
from crowdrun.data.errors import CrowdrunError, ModelError, NotEnoughDataError, RequestError, StoreError

log = logging.getLogger("crowdrun.service")

MEDIA_TYPE = "application/problem+json"
#: Fields that a problem lists; the rest are counted.
ERROR_LIMIT = 20
#: Characters of a wrong value that are sent back.
VALUE_CHARACTERS = 200
#: Parts of a place in the body that pydantic adds for the union of one job and many.
_TAGS = frozenset({"body", "query", "path", "job", "jobs"})
#: Errors of ours -> HTTP status; the first class that fits.
STATUSES: Sequence[tuple[type[CrowdrunError], HTTPStatus]] = (
    (RequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ModelError, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotEnoughDataError, HTTPStatus.SERVICE_UNAVAILABLE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (CrowdrunError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
_BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/predict": AskedBody,
    "/v1/jobs": JobBody,
    "/v1/advice": SubmissionBody,
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


#: For the OpenAPI document: what every route may answer beside its own.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, "content": {MEDIA_TYPE: {}}}
    for status, text in (
        (401, "a token is needed"),
        (403, "the token's role does not allow it"),
        (413, "the body is too large"),
        (422, "a field cannot be used"),
        (503, "no model is published, or the store cannot be reached"),
    )
}


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
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("%s", error)
        return problem(status, str(error))

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> Response:
        # Starlette logs the traceback; the caller learns no more than that it is our fault.
        del error
        return problem(500, "crowdrun failed on this request; the log of the service says where")


def _detail(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return "there is nothing at this address; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"this address does not take that method; allowed: {(error.headers or {}).get('Allow', 'see /docs')}"
    return str(error.detail)


def _validation(path: str, error: RequestValidationError) -> Response:
    errors = [_field_error(path, item) for item in error.errors()[:ERROR_LIMIT]]
    count = len(error.errors())
    first = errors[0]
    detail = f"{count} field{'s' * (count > 1)} cannot be used, first {first['field']}: {first['allowed']}"
    return problem(422, detail, errors=errors)


def _field_error(path: str, item: Mapping[str, Any]) -> dict[str, str]:
    if item["type"] == "json_invalid":
        reason = item.get("ctx", {}).get("error", item["msg"])
        return {"field": "body", "pointer": "", "value": f"character {item['loc'][-1]}", "allowed": f"JSON: {reason}"}
    place = [str(part) for part in item["loc"] if part not in _TAGS]
    return {
        "field": next((part for part in reversed(place) if not part.isdecimal()), "body")[:VALUE_CHARACTERS],
        "pointer": "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)[:VALUE_CHARACTERS],
        "value": repr(item.get("input"))[:VALUE_CHARACTERS],
        "allowed": _allowed(path, item, place),
    }


def _allowed(path: str, item: Mapping[str, Any], place: Sequence[str]) -> str:
    if item["type"] != "extra_forbidden":
        return str(item["msg"]).removeprefix("Value error, ")
    names = list(_BODIES[path].model_fields) if path in _BODIES else []
    near = get_close_matches(place[-1], names, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}the fields are {', '.join(names)}"
