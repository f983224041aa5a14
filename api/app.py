"""The REST service, put together: routes, problems, limits. `crowdrun serve` runs it.

Addresses: /v1/predict, /v1/advice, /v1/jobs, /v1/model, /healthz, /readyz; /docs and /openapi.json describe them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from crowdrun.api import problems
from crowdrun.api.auth import Authentication
from crowdrun.api.limits import BodyLimit
from crowdrun.api.routes import health, jobs, model, predict
from crowdrun.api.service import Service
from crowdrun.api.tokens import TokenFile
from crowdrun.data.settings import Settings

DESCRIPTION = (
    "What deep-learning jobs really need, learnt from the cluster's own scheduler log. "
    "Memory is in MB of 2^20 bytes, times are UTC epoch seconds."
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

    app = FastAPI(title="crowdrun", version=version("crowdrun"), description=DESCRIPTION, lifespan=lifespan)
    app.state.service = service
    app.state.tokens = TokenFile.of(settings)
    app.add_middleware(BodyLimit)
    app.add_middleware(Authentication, tokens=app.state.tokens, trust_local=settings.trust_local)
    problems.install(app)
    for part in (predict, jobs, model, health):
        app.include_router(part.router)
    return app
