"""POST /v1/predict: what a job, or a batch of jobs, needs. POST /v1/advice: the same in one line, for `csbatch`."""

from typing import Annotated

from fastapi import APIRouter, Query

from crowdrun.api.advice import advice_line
from crowdrun.api.batch_script import request_from_options
from crowdrun.api.problems import RESPONSES
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.schemas import AdviceAnswer, PredictBody, RecommendationAnswer, SubmissionBody

router = APIRouter(prefix="/v1", tags=["predict"], responses=RESPONSES)

Risk = Annotated[
    float | None,
    Query(ge=0.001, le=0.5, description="largest accepted probability that the job needs more than the safe figure"),
]


@router.post("/predict")
def predict(
    body: PredictBody, service: SharedService, risk: Risk = None
) -> RecommendationAnswer | list[RecommendationAnswer]:
    """Recommend for one job (an object) or up to 10,000 (a list; the answers come in the same order)."""
    if not isinstance(body, list):
        return RecommendationAnswer.of(service.recommend([body.to_request()], risk)[0])
    recommendations = service.recommend([job.to_request() for job in body], risk)
    return [RecommendationAnswer.of(recommendation) for recommendation in recommendations]


@router.post("/advice")
def advice(body: SubmissionBody, service: SharedService) -> AdviceAnswer:
    """The line that `csbatch` prints for a submission."""
    known = body.model_dump(include={"user", "group", "work_dir", "command", "submit_time"}, exclude_none=True)
    request = request_from_options(body.options, script=body.script, **known)
    return AdviceAnswer(line=advice_line(service.recommend([request])[0]))
