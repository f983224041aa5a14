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


Explain = Annotated[
    bool, Query(description="say why: what moved the prediction, and what other requests would get; up to 100 jobs")
]


@router.post("/predict")
def predict(
    body: PredictBody, service: SharedService, risk: Risk = None, explain: Explain = False
) -> RecommendationAnswer | list[RecommendationAnswer]:
    """Recommend for one job (an object) or up to 10,000 (a list; the answers come in the same order)."""
    jobs = body if isinstance(body, list) else [body]
    recommendations = service.recommend(
        [job.to_request() for job in jobs], risk, [job.to_queue() for job in jobs], explained=explain
    )
    answers = [RecommendationAnswer.of(recommendation) for recommendation in recommendations]
    return answers if isinstance(body, list) else answers[0]


@router.post("/advice")
def advice(body: SubmissionBody, service: SharedService) -> AdviceAnswer:
    """The line that `csbatch` prints for a submission."""
    known = body.model_dump(include={"user", "group", "work_dir", "command", "submit_time"}, exclude_none=True)
    request = request_from_options(body.options, script=body.script, **known)
    return AdviceAnswer(line=advice_line(service.recommend([request])[0]))
