"""Who looks at a page, and what they may see and do; the form for a token, and the way out."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from crowdrun.api.dashboard.asked import form
from crowdrun.api.dashboard.render import HEADERS, PageRoute, page
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.serving.auth import COOKIE, caller_of, log_in, log_out
from crowdrun.api.serving.service import Service
from crowdrun.data.roles import Role

HOME = "/dashboard/"

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Form = Annotated[dict[str, str], Depends(form)]


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """The person at the browser."""

    #: Whose jobs they see; None: everybody's.
    user: str | None
    #: The same as the store has it, which may know people by pseudonyms alone.
    stored_user: str | None
    #: May change which model answers.
    operator: bool
    #: Came with a token, which they can give back.
    logged_in: bool

    def sees(self, job: Mapping[str, Any]) -> bool:
        """Whether a job of the history is theirs to see."""
        return self.stored_user is None or job["user"] == self.stored_user

    def must_operate(self) -> None:
        """Refuse what only an operator may do."""
        if not self.operator:
            raise HTTPException(HTTPStatus.FORBIDDEN, "only an operator may change which model answers")


def stored(service: Service, name: str | None) -> str | None:
    """A user, group or account as the store has it."""
    pseudonyms = service.store.pseudonyms
    return pseudonyms.name(name) if pseudonyms and name else name


def _viewer(request: Request, service: SharedService) -> Viewer:
    """Raises HTTPException 401 for a stranger: the page is then the form for a token (`render.PageRoute`)."""
    caller = caller_of(request)
    operator = caller is not None and caller.role.covers(Role.OPERATOR)
    # Of somebody on this machine who is no operator nobody knows the name, so no job can be told to be theirs.
    if caller is None or not (operator or caller.user):
        raise HTTPException(HTTPStatus.UNAUTHORIZED)
    user = None if operator else caller.user
    viewer = Viewer(
        user=user, stored_user=stored(service, user), operator=operator, logged_in=COOKIE in request.cookies
    )
    request.state.viewer = viewer
    return viewer


CurrentViewer = Annotated[Viewer, Depends(_viewer)]


@router.get("/")
def root() -> Response:
    """Who opens the service's address in a browser wants the pages."""
    return RedirectResponse(HOME)


@router.post("/dashboard/login")
def login(request: Request, sent: Form) -> Response:
    """Take a token into the session's cookie, and go on to where the person wanted to be."""
    wanted = sent.get("next", HOME)
    # Only to a page of ours: an address of another host would be a trap.
    forward = RedirectResponse(wanted if wanted.startswith(HOME) else HOME, HTTPStatus.SEE_OTHER, headers=HEADERS)
    if log_in(request, forward, sent.get("token", "").strip()) is None:
        return page(request, "login", status=HTTPStatus.UNAUTHORIZED, wanted=wanted, refused=True)
    return forward


@router.post("/dashboard/logout")
def logout() -> Response:
    """Forget the token."""
    back = RedirectResponse(HOME, HTTPStatus.SEE_OTHER, headers=HEADERS)
    log_out(back)
    return back
