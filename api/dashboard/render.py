"""A page from its template, with headers that keep the browser from asking anybody else for anything."""

import json
from collections.abc import Callable, Coroutine
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException

from crowdrun.api.dashboard import assets, words
from crowdrun.api.serving.problems import STATUSES
from crowdrun.data.errors import CrowdrunError

#: The two <style> elements that plotly makes, by the hash of their content: an empty one, which its script fills, and
#: one for maps. There are no maps here: where another plotly has another one, the browser refuses it, unmissed.
_PLOTLY_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
)
#: Nothing is loaded but from this very service, no script or style stands in a page, and no other page may frame it.
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_PLOTLY_STYLES}; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # What a page shows is of one moment and one person.
    "Cache-Control": "no-store",
}
PAGES = (("overview", "Overview"), ("try", "Try it"), ("model", "Model"), ("jobs", "Jobs"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("crowdrun.api.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {**words.FILTERS, "data": _data}
    environment.globals |= {"asset": assets.urls(), "pages": PAGES, "size": words.size}
    return environment


def _data(value: Any) -> Markup:
    """JSON for a <script type="application/json">, in which nothing can end the script."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))  # noqa: S704  # no `<` is left


def page(request: Request, template: str, *, status: int = 200, **told: Any) -> Response:
    """The page `template`.html.j2. told: what it shows."""
    viewer = getattr(request.state, "viewer", None)
    text = _environment().get_template(f"{template}.html.j2").render(here=template, viewer=viewer, **told)
    # A name of the log may hold half a surrogate pair.
    return HTMLResponse(text.encode("utf-8", "replace"), status, headers=HEADERS)


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                return _problem(request, 422, f"{first['loc'][-1]}: {first['msg']}")
            except HTTPException as error:
                if error.status_code < HTTPStatus.BAD_REQUEST:
                    raise
                if error.status_code == HTTPStatus.UNAUTHORIZED:
                    return page(request, "login", status=401, wanted=_wanted(request), refused=False)
                return _problem(request, error.status_code, str(error.detail))
            except CrowdrunError as error:
                status = next(status for kind, status in STATUSES if isinstance(error, kind))
                return _problem(request, status, str(error))

        return answer


def _wanted(request: Request) -> str:
    """Where a stranger wanted to go: back there once they have a token."""
    return f"{request.url.path}?{request.url.query}" if request.method == "GET" else "/dashboard/"


def _problem(request: Request, status: int, detail: str) -> Response:
    return page(request, "problem", status=status, title=HTTPStatus(status).phrase, detail=detail)
