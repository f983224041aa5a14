"""POST /v1/predict: what a job, or a batch of jobs, needs. POST /v1/advice: the same in one line, for `csbatch`."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from crowdrun.api.forecasts.known_training import with_forecast
from crowdrun.api.routes.shared import SharedService, Submitter, json_answer
from crowdrun.api.schemas.advice import AdviceAnswer, AdviceBody
from crowdrun.api.schemas.job import AskedBody
from crowdrun.api.schemas.recommendation import RecommendationAnswer, content_of
from crowdrun.api.serving.auth import Caller
from crowdrun.api.serving.bodies import OneOrMany
from crowdrun.api.serving.live_model import ANSWER_CHUNK
from crowdrun.api.serving.metrics import ABSTAINED, PREDICTED
from crowdrun.api.serving.problems import RESPONSES
from crowdrun.data.job import Recommendation

router = APIRouter(prefix="/v1", tags=["predict"], responses=RESPONSES)

BODY = OneOrMany(AskedBody)
#: An explained job takes as long as so many others.
EXPLAINED_AS = 10
_EXAMPLE = {"user": "ada", "job_name": "resnet-7", "req_mem_mb": 65536, "req_cpus": 8, "timelimit_s": 7200}

Risk = Annotated[
    float | None,
    Query(ge=0.001, le=0.5, description="largest accepted probability that the job needs more than the safe figure"),
]


Explain = Annotated[
    bool, Query(description="say why: what moved the prediction, and what other requests would get; up to 100 jobs")
]


@router.post(
    "/predict",
    response_model=RecommendationAnswer | list[RecommendationAnswer],
    openapi_extra=BODY.documented(one=_EXAMPLE, many=[_EXAMPLE, {"user": "ada", "job_name": "bert"}]),
)
async def predict(
    request: Request, service: SharedService, caller: Submitter, risk: Risk = None, explain: Explain = False
) -> Response:
    """Recommend for one job (an object) or up to 10,000 (a list; the answers come in the same order)."""
    until = service.end_of_request()
    jobs, is_many = await BODY.read(request)
    _check_users(caller, {job.user for job in jobs})
    if len(jobs) == 1 and not explain:
        answer = await service.together.ask(jobs[0].to_request(), risk, jobs[0].to_queue())
        return _answer([with_forecast(answer, jobs[0].script, service.device_model)], is_many)

    def recommend() -> Response:
        requests, queues = [job.to_request() for job in jobs], [job.to_queue() for job in jobs]
        answers = service.recommend(requests, risk, queues, explained=explain, until=until)
        told = [with_forecast(one, job.script, service.device_model) for one, job in zip(answers, jobs, strict=True)]
        return _answer(told, is_many)

    if len(jobs) <= ANSWER_CHUNK and not explain:
        return await run_in_threadpool(recommend)
    async with service.batches.turn(len(jobs) * (EXPLAINED_AS if explain else 1), until):
        return await run_in_threadpool(recommend)


def _answer(recommendations: list[Recommendation], is_many: bool) -> Response:
    PREDICTED.inc(len(recommendations))
    ABSTAINED.inc(sum(not one.predictions for one in recommendations))
    contents = [content_of(one) for one in recommendations]
    return json_answer(contents if is_many else contents[0])


@router.post("/advice")
def advice(body: AdviceBody, service: SharedService, caller: Submitter) -> AdviceAnswer | list[AdviceAnswer]:
    """What `csbatch` says of a submission, and what it may set; a list for the components of a heterogeneous job."""
    jobs = body if isinstance(body, list) else [body]
    _check_users(caller, {job.user for job in jobs})
    recommended = service.recommend([job.to_request() for job in jobs])
    answers = [
        AdviceAnswer.of(with_forecast(one, job.program, service.device_model))
        for one, job in zip(recommended, jobs, strict=True)
    ]
    return answers if isinstance(body, list) else answers[0]


def _check_users(caller: Caller, users: Iterable[str | None]) -> None:
    others = sorted(str(user) for user in users if not caller.may_ask_for(user))
    if others:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"a job is of {others[0]!r}; {caller.user!r} asks for own jobs alone")
