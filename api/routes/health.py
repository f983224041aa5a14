"""GET /healthz: the process answers. GET /readyz: it can predict and store. GET /metrics: figures for Prometheus."""

from fastapi import APIRouter, Response

from crowdrun.api.routes.shared import Operator, SharedService
from crowdrun.api.schemas.answers import HealthAnswer
from crowdrun.api.serving import metrics
from crowdrun.api.serving.problems import RESPONSES, documented

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """Answers as long as the process does; needs no token."""
    return HealthAnswer()


@router.get("/readyz", responses=documented(503))
def readyz(service: SharedService) -> HealthAnswer:
    """Answers 503 while no model is loaded or the store cannot be reached; needs no token."""
    service.check()
    return HealthAnswer()


@router.get("/metrics", responses={**RESPONSES, 200: {"content": {"text/plain": {}}}}, response_class=Response)
def prometheus(_: Operator) -> Response:
    """Requests, seconds, predictions, limits and the model's age, in Prometheus' text format."""
    return Response(metrics.exposition(), media_type=metrics.MEDIA_TYPE)
