"""How long one request may take, and how many may be answered at once."""

import asyncio
import logging
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crowdrun.api.serving.metrics import REFUSED
from crowdrun.api.serving.problems import problem

log = logging.getLogger("crowdrun.service")

#: More than wait for a thread of the pool by far; beyond it an early no is better than a late answer.
IN_FLIGHT_LIMIT = 1000
#: Addresses that may take as many limits: forecasts of GPU memory, one for the turn, two for the trace, and some room.
LONGER = {"/v1/estimate": 3.5, "/dashboard/memory": 3.5}


class TimeLimit:
    """ASGI middleware: 408 for a body that does not come in time, 504 for an answer, 503 for too many at once.

    What a thread does cannot be stopped from outside: what it answers later is thrown away. (A long batch looks at the
    clock itself, `LiveModel.recommend`.)
    """

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self.app, self._limit_s = app, limit_s
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._in_flight >= IN_FLIGHT_LIMIT:
            REFUSED.labels("in flight").inc()
            detail = f"{IN_FLIGHT_LIMIT} requests are being answered already; try again in a second"
            await problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "1"})(scope, receive, send)
        else:
            self._in_flight += 1
            try:
                limit_s = self._limit_s * LONGER.get(scope["path"], 1.0)
                await _Watched(scope, receive, send).answer(self.app, limit_s)
            finally:
                self._in_flight -= 1


class _Watched:
    """One request and its clock."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._is_coming = self._is_answered = False
        self._refusal: asyncio.Task[None] | None = None

    async def answer(self, app: ASGIApp, limit_s: float) -> None:
        clock = asyncio.get_running_loop().call_later(limit_s, self._refuse, limit_s)
        try:
            await app(self._scope, self._receiving, self._sending)
        except Exception:
            if not self._refusal:
                raise
            log.exception("after the time limit")
        finally:
            clock.cancel()
            if self._refusal:
                await self._refusal

    async def _receiving(self) -> Message:
        self._is_coming = True
        try:
            return await self._receive()
        finally:
            # Also where nobody waits on: whoever only looks whether the caller is still there gives up at once.
            self._is_coming = False

    async def _sending(self, message: Message) -> None:
        if not self._refusal:
            self._is_answered = True
            await self._send(message)

    def _refuse(self, limit_s: float) -> None:
        if self._is_answered:
            return
        REFUSED.labels("time").inc()
        if not self._is_coming:
            answer = problem(HTTPStatus.GATEWAY_TIMEOUT, f"it took longer than {limit_s:g} s; send fewer jobs at once")
        else:
            # The rest of the body is not waited for.
            answer = problem(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not come within {limit_s:g} s",
                headers={"Connection": "close"},
            )
        self._refusal = asyncio.ensure_future(answer(self._scope, self._receive, self._send))
