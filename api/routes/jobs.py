"""POST /v1/jobs: how jobs ended; each goes to the store and, once, to the crowd that answers. GET: one of them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from crowdrun.api.routes.shared import Operator, SharedService, Submitter
from crowdrun.api.schemas.answers import JobAnswer, StoredAnswer
from crowdrun.api.schemas.job import JobBody
from crowdrun.api.serving.bodies import OneOrMany
from crowdrun.api.serving.metrics import OUTCOMES
from crowdrun.api.serving.problems import RESPONSES, documented

router = APIRouter(prefix="/v1", tags=["jobs"], responses=RESPONSES)

BODY = OneOrMany(JobBody)
_EXAMPLE = JobBody.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]


@router.post("/jobs", response_model=StoredAnswer, openapi_extra=BODY.documented(one=_EXAMPLE, many=[_EXAMPLE]))
async def store_jobs(request: Request, service: SharedService, _: Operator) -> StoredAnswer:
    """Store how one job (an object) or up to 10,000 (a list) ended, and learn from those that are new.

    Sending the same job again changes nothing. It takes the role `operator`: what is learnt here is told to all.
    """
    jobs, _many = await BODY.read(request)
    report = await run_in_threadpool(lambda: service.record([job.model_dump() for job in jobs]))
    OUTCOMES.inc(report.new)
    return StoredAnswer(new=report.new, known=report.known)


@router.get("/jobs/{job_id}", responses=documented(404))
def job(
    job_id: Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00]*$", examples=["4711"])],
    service: SharedService,
    caller: Submitter,
) -> JobAnswer:
    """All that is known of the runs of a job, oldest first; with the role `submit`, of own jobs."""
    pseudonyms = service.store.pseudonyms
    own = pseudonyms.name(caller.user) if pseudonyms and caller.user else caller.user
    runs = [run for run in service.store.get(job_id) if caller.sees_all or (own is not None and run["user"] == own)]
    if not runs:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no job {job_id} is known, or it is not yours to see")
    return JobAnswer(job_id=job_id, runs=[*runs])
