"""Who asks, and what they may do: the first thing that is settled about a request.

A middleware finds the caller: by a bearer token (`Authorization: Bearer ...`), by the same token in the session cookie
of a page, or, where the operator has set `trust_local`, by coming from this machine. A route says what it takes:

    @router.get("/models")
    def models(caller: Annotated[Caller, require(Role.OPERATOR)]) -> ...

which answers 401 to strangers and 403 to those whose role is less. **Pages** ask `caller_of(request)`: None means that
they show the form for a token. The form posts it to a route that calls `log_in(request, response, text)`;
`log_out(response)` forgets it. The cookie is HttpOnly and SameSite=Strict, and a request that changes something must
come from a page of this very host: the middleware sees to that, pages need no tokens against forgery of their own.
"""

import ipaddress
import logging
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response, Security
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from crowdrun.api.serving.peer import uid_of
from crowdrun.api.serving.problems import problem
from crowdrun.api.serving.tokens import Token, TokenFile
from crowdrun.data.errors import ConfigError
from crowdrun.data.roles import Role

log = logging.getLogger("crowdrun.service")

COOKIE = "crowdrun_token"
#: Methods that change nothing (RFC 9110, section 9.2.1).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: A request with one of these came through a proxy, from who knows where.
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_BEARER = HTTPBearer(auto_error=False, description="made with `crowdrun token create`", scheme_name="token")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks."""

    role: Role
    #: Whose jobs are their own; None: somebody on this machine, nobody knows who.
    user: str | None
    #: For limits and logs: `token 1a2b3c4d`, `uid 1000`, `local`.
    name: str

    @property
    def sees_all(self) -> bool:
        """Whether jobs of others are theirs to see."""
        return self.role.covers(Role.OPERATOR)

    def may_ask_for(self, user: str | None) -> bool:
        """Whether they may have predictions for a job of this user; those of unknown users tell nothing of anybody."""
        return self.sees_all or self.user in (None, user) or user is None


class Authentication:
    """ASGI middleware: sets `request.state.caller`, None for strangers, and `request.state.client`, a name for logs."""

    def __init__(self, app: ASGIApp, tokens: TokenFile, trust_local: Role | None) -> None:
        self.app = app
        self._tokens, self._trust_local = tokens, trust_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            try:
                caller = self._caller(scope, headers)
            except ConfigError as error:
                log.error("%s", error)
                detail = "the service cannot read its tokens; its log says why"
                await problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["caller"] = caller
            state["client"] = caller.name if caller else _address(scope)
        await self.app(scope, receive, send)

    def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller | None:
        given = headers.get(b"authorization")
        if given is not None:
            kind, _, text = given.decode("latin-1").partition(" ")
            return self._holder(text.strip()) if kind.lower() == "bearer" else None
        cookie = _cookie(headers)
        if cookie and (scope["method"] in _SAFE or _from_own_page(scope, headers)):
            return self._holder(cookie)
        return self._local(scope, headers) if self._trust_local else None

    def _holder(self, text: str) -> Caller | None:
        token = self._tokens.find(text)
        return _of_token(token) if token else None

    def _local(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller | None:
        assert self._trust_local
        uid = uid_of(scope)
        if uid is not None:
            return Caller(role=self._trust_local, user=_user_name(uid), name=f"uid {uid}")
        if any(name in headers for name in _FORWARDED) or not _is_loopback(_address(scope)):
            return None
        # A page of another site, in a browser on this machine, can have that browser send things to 127.0.0.1: its
        # Origin tells, or its Host, where a name was made to point here (DNS rebinding).
        if not _is_loopback(_host(headers)) or not _from_own_page(scope, headers):
            return None
        return Caller(role=self._trust_local, user=None, name="local")


def caller_of(request: Request) -> Caller | None:
    """Who asks; None: a stranger."""
    caller: Caller | None = request.state.caller
    return caller


def require(role: Role) -> Any:
    """A dependency: the caller, who has at least this role.

    Raises (as the dependency):
        HTTPException: 401 for a stranger, 403 for a lesser role; both become problems.
    """

    async def check(request: Request, _: Annotated[object, Security(_BEARER)]) -> Caller:
        caller = caller_of(request)
        if caller is None:
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "a token is needed, and one that was not revoked: send 'Authorization: Bearer TOKEN'; an operator of "
                "the service makes one with 'crowdrun token create'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not caller.role.covers(role):
            raise HTTPException(HTTPStatus.FORBIDDEN, f"this takes the role {role}, and the caller's is {caller.role}")
        return caller

    return Depends(check)


def log_in(request: Request, response: Response, text: str) -> Caller | None:
    """Remember a token in the session cookie of a page, and return whose it is; None: it is none, nothing is set."""
    tokens: TokenFile = request.app.state.tokens
    token = tokens.find(text)
    if token is None:
        return None
    response.set_cookie(COOKIE, text, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return _of_token(token)


def log_out(response: Response) -> None:
    """Forget the token."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _of_token(token: Token) -> Caller:
    return Caller(role=token.role, user=token.user, name=f"token {token.id}")


def _cookie(headers: Mapping[bytes, bytes]) -> str | None:
    text = headers.get(b"cookie")
    if text is None:
        return None
    try:
        morsel = SimpleCookie(text.decode("latin-1")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _from_own_page(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that the page is of this host; programs say nothing, and are no browsers."""
    origin = headers.get(b"origin")
    if origin is None:
        return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
    own = f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}"
    return origin.decode("latin-1") == own


def _host(headers: Mapping[bytes, bytes]) -> str:
    """The name that the service was called by; programs that do not say so are no browsers."""
    try:
        return urlsplit(f"//{headers.get(b'host', b'localhost').decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
