"""GET /v1/model: the model that answers now. GET /v1/models: all that are there. POST .../activate: take another."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException

from crowdrun.api.routes.shared import Operator, SharedService, Submitter
from crowdrun.api.schemas.answers import ModelAnswer, ModelListed, ModelsAnswer
from crowdrun.api.serving.problems import RESPONSES, documented
from crowdrun.api.serving.service import Service
from crowdrun.data.errors import ModelError
from crowdrun.predictor.persistence import registry

router = APIRouter(prefix="/v1", tags=["models"], responses=RESPONSES)

ModelId = Annotated[str, Path(max_length=100, examples=["20261104T101500.123456Z-0d4f2c9a71be"])]


@router.get("/model")
def model(service: SharedService, caller: Submitter) -> ModelAnswer:
    """Its id, when it was made and with what; to operators also from which data, and its figures."""
    live = service.model
    made = live.manifest
    return ModelAnswer(
        id=live.model_id, made=made.made, versions=made.versions, summary=made.summary if caller.sees_all else {}
    )


@router.get("/models")
def models(service: SharedService, _: Operator) -> ModelsAnswer:
    """All published models, oldest first, and which is current."""
    models_dir = service.settings.models_dir
    try:
        current = registry.current_id(models_dir)
    except ModelError:
        current = None
    return ModelsAnswer(
        current=current, models=[_listed(service, model_id) for model_id in registry.list_models(models_dir)]
    )


@router.post("/models/{model_id}/activate", responses=documented(404, 409))
def activate(model_id: ModelId, service: SharedService, _: Operator) -> ModelsAnswer:
    """Make a published model the current one, after every byte of it was verified.

    The service answers with it from then on, other processes of it within a second; no request waits or fails.
    """
    if model_id not in registry.list_models(service.settings.models_dir):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no model {model_id!r} is published; GET /v1/models lists them")
    try:
        service.activate(model_id)
    except ModelError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
    return models(service, _)


def _listed(service: Service, model_id: str) -> ModelListed:
    try:
        manifest = registry.describe(service.settings.models_dir, model_id)
    except ModelError as error:
        return ModelListed(id=model_id, damaged=str(error))
    return ModelListed(id=model_id, made=manifest.made, summary=manifest.summary)
