"""/docs: what may be asked over REST, from the service's own OpenAPI document, without a script or another host."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from crowdrun.api.dashboard.render import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Part = Mapping[str, Any]
_REFERENCE = "#/components/schemas/"


@router.get("/docs")
def docs(request: Request) -> Response:
    """The document for a person; anybody may read it, as /openapi.json."""
    document = _document(request.app)
    return page(
        request, "docs", title=document["info"]["title"], version=document["info"]["version"],
        description=document["info"]["description"], operations=operations(document),
        schemas={name: fields(schema) for name, schema in sorted(document["components"]["schemas"].items())},
        about={name: schema.get("description", "") for name, schema in document["components"]["schemas"].items()},
    )  # fmt: skip


@cache
def _document(app: FastAPI) -> Part:
    return app.openapi()


def operations(document: Part) -> list[dict[str, Any]]:
    """One entry an address and method, in the order of the document."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "id": f"{method}{path.translate(_TO_ID)}",
            "summary": operation.get("description", operation.get("summary", "")),
            "needs_token": bool(operation.get("security")),
            "parameters": [_parameter(one) for one in operation.get("parameters", [])],
            "body": _media(operation.get("requestBody", {})),
            "examples": list(_examples(document, operation.get("requestBody", {}))),
            "answers": [
                {"status": status, "text": answer.get("description", ""), "kind": _media(answer)}
                for status, answer in operation["responses"].items()
            ],
            "answer_examples": list(_examples(document, operation["responses"].get("200", {}))),
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


_TO_ID = str.maketrans({"/": "-", "{": None, "}": None})


def _parameter(one: Part) -> dict[str, Any]:
    return {
        "name": one["name"], "where": one["in"], "required": one.get("required", False),
        "kind": kind(one["schema"]), "text": one.get("description", one["schema"].get("description", "")),
    }  # fmt: skip


def fields(schema: Part) -> list[dict[str, Any]]:
    """The fields of an object: name, kind, whether it must be there, and what it is."""
    required = schema.get("required", [])
    return [
        {"name": name, "kind": kind(one), "required": name in required, "text": one.get("description", "")}
        for name, one in schema.get("properties", {}).items()
    ]


def kind(schema: Part) -> str:
    """What a value may be, in a few words.

    >>> kind({"anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/Job"}}, {"type": "null"}]})
    'list of Job, or null'
    >>> kind({"type": "number", "minimum": 0.001, "maximum": 0.5})
    'number, 0.001 to 0.5'
    """
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    if "anyOf" in schema or "oneOf" in schema:
        return ", or ".join(dict.fromkeys(kind(one) for one in schema.get("anyOf", schema.get("oneOf"))))
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if schema.get("items") else "list"
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return f"name -> {kind(schema['additionalProperties'])}"
    return f"{schema.get('type', 'anything')}{_bounds(schema)}"


def _bounds(schema: Part) -> str:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if lowest is None and highest is None:
        return ""
    if highest is None:
        return f", {lowest:g} or more"
    return f", at most {highest:g}" if lowest is None else f", {lowest:g} to {highest:g}"


def _media(part: Part) -> str:
    """What a body holds, with its media type where that is no JSON."""
    for name, media in part.get("content", {}).items():
        said = kind(media.get("schema", {}))
        return said if name == "application/json" else f"{said} ({name})" if "schema" in media else name
    return ""


def _examples(document: Part, part: Part) -> Iterator[str]:
    """As JSON: those of the body, or else of what it refers to."""
    for media in part.get("content", {}).values():
        shown = [one["value"] for one in media.get("examples", {}).values()]
        reference = media.get("schema", {}).get("$ref", "").removeprefix(_REFERENCE)
        shown = shown or document["components"]["schemas"].get(reference, {}).get("examples", [])
        yield from (json.dumps(one, indent=2) for one in shown)
