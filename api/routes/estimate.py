"""POST /v1/estimate: the GPU memory of a model that is described, or known by name."""

from fastapi import APIRouter, Request, Response

from crowdrun.api.routes.shared import SharedService, Submitter, json_answer
from crowdrun.api.schemas.estimate import DESCRIBED_EXAMPLE, KNOWN_EXAMPLE, EstimateAnswer, EstimateBody
from crowdrun.api.serving.bodies import OneBody
from crowdrun.api.serving.gone import while_wanted
from crowdrun.api.serving.problems import RESPONSES, documented

router = APIRouter(prefix="/v1", tags=["estimate"], responses=RESPONSES)

BODY = OneBody(EstimateBody)


@router.post(
    "/estimate",
    response_model=EstimateAnswer,
    responses=documented(501),
    openapi_extra=BODY.documented(known=KNOWN_EXAMPLE, described=DESCRIBED_EXAMPLE),
)
async def estimate(request: Request, service: SharedService, _: Submitter) -> Response:
    """Forecast what a training step needs of one GPU's memory, from the model itself; no GPU is asked.

    The step is traced in another process, one at a time; what was asked before is answered at once. A forecast without
    `fit` takes about a second, one with it some ten; it may take longer than other requests.
    """
    until = service.end_of_estimate()
    body = await BODY.read(request)
    return json_answer(await while_wanted(request, lambda gone: service.estimates.ask(body, gone, until)))
