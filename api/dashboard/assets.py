"""The style, the scripts and the plot library: all from this machine, each under a name that changes with its content.

plotly.min.js lies inside the installed package `plotly`, of which nothing is imported.
"""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

PREFIX = "/dashboard/static"
#: What is under a name never changes: browsers need not ask again for a year.
FOREVER = "public, max-age=31536000, immutable"
_TYPES: Mapping[str, str] = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_OURS = ("dashboard.css", "charts.js", "try.js")
_PLOTLY = "plotly.min.js"

router = APIRouter(include_in_schema=False)


@cache
def urls() -> dict[str, str]:
    """File -> its address."""
    named = {name: hashlib.sha256(_content(name)).hexdigest()[:12] for name in _OURS}
    # Nearly 5 MB need not be read to name them.
    return {name: f"{PREFIX}/{mark}/{name}" for name, mark in (named | {_PLOTLY: version("plotly")}).items()}


@router.get(f"{PREFIX}/{{mark}}/{{name}}")
def asset(mark: str, name: str, request: Request) -> Response:
    """One file; compressed where the browser takes it so."""
    if urls().get(name) != f"{PREFIX}/{mark}/{name}":
        raise HTTPException(404)
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    content = _content(name)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        content = _compressed(name)
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_content(name), mtime=0)


@cache
def _content(name: str) -> bytes:
    if name in _OURS:
        return (files("crowdrun.api.dashboard") / "static" / name).read_bytes()
    package = find_spec("plotly")
    assert package
    assert package.origin
    return (Path(package.origin).parent / "package_data" / name).read_bytes()
