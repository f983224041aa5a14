"""The REST service, put together: who asks, limits, routes, problems. `crowdrun serve` runs it.

Addresses: /v1/predict, /v1/advice, /v1/estimate, /v1/jobs, /v1/model, /v1/models, /v1/retrain, /v1/report, /v1/runs,
/healthz, /readyz, /metrics; /docs and /openapi.json describe them.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crowdrun.api.dashboard.mount import PAGES
from crowdrun.api.routes import estimate, health, jobs, models, predict, report, retrain, runs
from crowdrun.api.serving import memory, problems
from crowdrun.api.serving.auth import Authentication
from crowdrun.api.serving.limits import BodyLimit
from crowdrun.api.serving.logs import log_as_json
from crowdrun.api.serving.problems import Problem
from crowdrun.api.serving.rate_limit import RateLimit
from crowdrun.api.serving.service import Service
from crowdrun.api.serving.telemetry import Telemetry
from crowdrun.api.serving.time_limit import TimeLimit
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.settings import Settings, load_settings

DESCRIPTION = (
    "What deep-learning jobs really need, learnt from the cluster's own scheduler log. "
    "Memory is in MB of 2^20 bytes, times are UTC epoch seconds. Every error is a problem (RFC 9457)."
)


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application; it opens the store and loads the current model when it starts up.

    Raises (at start-up):
        StoreError: the store cannot be opened. A missing model is no error: /v1/predict answers 503 until there is one.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with service.running():
            yield

    # FastAPI's own pages load their scripts from a public host; /docs is a page of ours.
    app = FastAPI(
        title="crowdrun", version=version("crowdrun"), description=DESCRIPTION, lifespan=lifespan, docs_url=None,
        redoc_url=None,
    )  # fmt: skip
    app.state.service = service
    app.state.tokens = TokenFile.of(settings)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimit)
    app.add_middleware(TimeLimit, limit_s=settings.time_limit_s)
    app.add_middleware(RateLimit, rate_per_s=settings.rate_per_s)
    app.add_middleware(Authentication, tokens=app.state.tokens, trust_local=settings.trust_local)
    app.add_middleware(Telemetry)
    problems.install(app)
    for part in (predict, estimate, jobs, models, retrain, report, runs, health, *PAGES):
        app.include_router(part.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def app_of_worker() -> FastAPI:
    """The same in a process of `crowdrun serve`, which finds its settings in the environment."""
    memory.keep_few_arenas()
    log_as_json(access=os.environ.get("CROWDRUN_ACCESS_LOG") == "1")
    return create_app(load_settings())


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, and the schemas that the routes name themselves."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        own = {
            **predict.BODY.schemas(),
            **jobs.BODY.schemas(),
            **estimate.BODY.schemas(),
            **problem.pop("$defs"),
            Problem.__name__: problem,
        }
        document["components"]["schemas"] |= own
        app.openapi_schema = document
    return app.openapi_schema
