"""How many requests a second one caller may send: a bucket of tokens each (Turner 1986), per process of the service.

>>> buckets = Buckets(rate_per_s=10.0, burst=2.0)
>>> [buckets.wait_s("ada", now=0.0) for _ in range(3)], buckets.wait_s("bob", now=0.0), buckets.wait_s("ada", now=0.1)
([0.0, 0.0, 0.1], 0.0, 0.0)
"""

import math
import time
from collections import OrderedDict
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from crowdrun.api.serving.metrics import REFUSED
from crowdrun.api.serving.problems import problem

#: Requests that may come at once, in seconds of the rate.
BURST_S = 5.0
#: Callers that are remembered, those that asked last: who was forgotten begins with a full bucket.
_REMEMBERED = 10_000
#: Who looks after the service must be able to, whatever else comes from the same address.
_FREE = frozenset({"/healthz", "/readyz"})


class Buckets:
    """One bucket a caller; each request takes one token out, and the rate fills it up again."""

    def __init__(self, *, rate_per_s: float, burst: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str, now: float) -> float:
        """0 where a request may pass now, else the seconds until one may."""
        level, then = self._filled.pop(caller, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._rate_per_s)
        passes = level >= 1.0
        self._filled[caller] = (level - passes, now)
        if len(self._filled) > _REMEMBERED:
            self._filled.popitem(last=False)
        return 0.0 if passes else (1.0 - level) / self._rate_per_s


class RateLimit:
    """ASGI middleware behind `Authentication`: 429 with `Retry-After` for a token or address that sends too many."""

    def __init__(self, app: ASGIApp, rate_per_s: float) -> None:
        self.app, self._rate_per_s = app, rate_per_s
        self._buckets = Buckets(rate_per_s=rate_per_s, burst=max(1.0, BURST_S * rate_per_s))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _FREE:
            wait_s = self._buckets.wait_s(scope["state"]["client"], time.monotonic())
            if wait_s:
                REFUSED.labels("rate").inc()
                detail = (
                    f"more than {self._rate_per_s:g} requests a second; try again in {math.ceil(wait_s)} s, or ask for"
                )
                answer = problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"{detail} many jobs in one request",
                    headers={"Retry-After": str(math.ceil(wait_s))},
                )
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)
