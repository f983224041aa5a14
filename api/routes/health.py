"""GET /healthz: the process answers. GET /readyz: it can predict and store."""

from fastapi import APIRouter

from crowdrun.api.problems import RESPONSES
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.schemas import HealthAnswer

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """Answers as long as the process does."""
    return HealthAnswer()


@router.get("/readyz", responses={503: RESPONSES[503]})
def readyz(service: SharedService) -> HealthAnswer:
    """Answers 503 while no model is loaded or the store cannot be reached."""
    service.check()
    return HealthAnswer()
