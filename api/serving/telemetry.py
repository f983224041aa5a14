"""What is told of every request: an id in its answer, the figures of `metrics.py`, a line in the log."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crowdrun.api.serving.metrics import IN_FLIGHT, REQUESTS, SECONDS
from crowdrun.api.serving.request_id import REQUEST_ID, begin_request

log = logging.getLogger("crowdrun.access")

#: A request that took longer is told of at any rate, s.
SLOW_S = 1.0
_ID_HEADER = REQUEST_ID.lower().encode()


class Telemetry:
    """ASGI middleware, around all others. Lines of level INFO are for requests that were slow or not answered well; the
    others are of level DEBUG, which `crowdrun serve --access-log` shows.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        own_id = begin_request(next((value for name, value in scope["headers"] if name == _ID_HEADER), None))
        status = 500

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = own_id
            await send(message)

        IN_FLIGHT.inc()
        try:
            await self.app(scope, receive, with_id)
        finally:
            IN_FLIGHT.dec()
            _tell(scope, status, time.perf_counter() - began)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    # The address as the routes name it: what callers put into it would be a series of figures each.
    route = getattr(scope.get("route"), "path", "none")
    method = scope["method"] if scope.get("route") else "none"
    REQUESTS.labels(method, route, status).inc()
    SECONDS.labels(route).observe(seconds)
    level = logging.INFO if status >= 400 or seconds > SLOW_S else logging.DEBUG
    if log.isEnabledFor(level):
        told = {"method": scope["method"], "path": scope["path"][:200], "status": status, "seconds": round(seconds, 6)}
        log.log(level, "answered", extra=told | {"client": scope.get("state", {}).get("client")})
