"""JSON bodies of one job or many, read in one pass: bytes in, checked models out.

FastAPI reads a body into Python objects and has these checked, in the thread that serves all connections; pydantic
reads the bytes itself in a fraction of that, and a long body is left to another thread. What FastAPI would have said of
it in the OpenAPI document is said here.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from crowdrun.api.schemas.job import BATCH_LIMIT

B = TypeVar("B", bound=BaseModel)

#: From here on a body is read in another thread: about 2 ms of reading.
_LONG_BYTES = 64 * 1024
_REFERENCE = "#/components/schemas/{model}"


class OneBody(Generic[B]):
    """A body that is one object of a moderate size."""

    def __init__(self, kind: type[B], limit_bytes: int = 1 << 20) -> None:
        self._kind, self._limit_bytes = kind, limit_bytes
        self._adapter: TypeAdapter[B] = TypeAdapter(kind)

    async def read(self, request: Request) -> B:
        """What came.

        Raises:
            HTTPException: 413, it is too large; 415, it says that it is no JSON.
            RequestValidationError: it is none, or a field of it cannot be used.
        """
        content = await _json_of(request)
        if len(content) > self._limit_bytes:
            detail = f"the body has {len(content)} bytes; here it may have {self._limit_bytes}"
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        return await run_in_threadpool(self.parse, content) if len(content) > _LONG_BYTES else self.parse(content)

    def parse(self, content: bytes) -> B:
        """`read` from bytes."""
        try:
            return self._adapter.validate_json(content)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error

    def documented(self, **examples: Any) -> dict[str, Any]:
        """The body for `openapi_extra` of a route; examples by name."""
        shown = {name: {"value": value} for name, value in examples.items()}
        media = {"schema": {"$ref": _REFERENCE.format(model=self._kind.__name__)}, "examples": shown}
        return {"requestBody": {"required": True, "content": {"application/json": media}}}

    def schemas(self) -> Mapping[str, Any]:
        """The parts that `documented` refers to, by name."""
        schema = self._adapter.json_schema(ref_template=_REFERENCE)
        parts = schema.pop("$defs", {})
        return {**parts, self._kind.__name__: schema}


async def _json_of(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type is {kind[:80]!r}; send application/json"
        )
    return await request.body()


class OneOrMany(Generic[B]):
    """A body that is one object, or a list of 1 to BATCH_LIMIT of them."""

    def __init__(self, kind: type[B]) -> None:
        self._kind = kind
        self._one: TypeAdapter[B] = TypeAdapter(kind)
        many = Annotated[list[kind], Field(min_length=1, max_length=BATCH_LIMIT)]  # type: ignore[valid-type]
        self._many: TypeAdapter[list[B]] = TypeAdapter(many)

    async def read(self, request: Request) -> tuple[Sequence[B], bool]:
        """What came, and whether it came as a list.

        Raises:
            HTTPException: 415, it says that it is no JSON.
            RequestValidationError: it is none, or a field of it cannot be used.
        """
        content = await _json_of(request)
        return await run_in_threadpool(self.parse, content) if len(content) > _LONG_BYTES else self.parse(content)

    def parse(self, content: bytes) -> tuple[Sequence[B], bool]:
        """`read` from bytes."""
        is_many = content[:64].lstrip()[:1] == b"["
        try:
            return (self._many.validate_json(content), True) if is_many else ([self._one.validate_json(content)], False)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from error

    def documented(self, **examples: Any) -> dict[str, Any]:
        """The body for `openapi_extra` of a route; examples by name."""
        one = {"$ref": _REFERENCE.format(model=self._kind.__name__)}
        many = {"type": "array", "items": one, "minItems": 1, "maxItems": BATCH_LIMIT}
        shown = {name: {"value": value} for name, value in examples.items()}
        media = {"schema": {"anyOf": [one, many]}, "examples": shown}
        return {"requestBody": {"required": True, "content": {"application/json": media}}}

    def schemas(self) -> Mapping[str, Any]:
        """The parts that `documented` refers to, by name."""
        schema = self._one.json_schema(ref_template=_REFERENCE)
        parts = schema.pop("$defs", {})
        return {**parts, self._kind.__name__: schema}
