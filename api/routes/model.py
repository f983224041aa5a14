"""GET /v1/model: the model that answers now."""

from fastapi import APIRouter

from crowdrun.api.problems import RESPONSES
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.schemas import ModelAnswer

router = APIRouter(prefix="/v1", tags=["model"], responses=RESPONSES)


@router.get("/model")
def model(service: SharedService) -> ModelAnswer:
    """Its id, when it was made, with what, from which data, and its figures."""
    live = service.model
    made = live.manifest
    return ModelAnswer(id=live.model_id, made=made.made, versions=made.versions, summary=made.summary)
