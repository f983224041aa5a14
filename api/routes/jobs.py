"""POST /v1/jobs: how jobs ended. Each goes to the store and, once, to the crowd that answers."""

from fastapi import APIRouter

from crowdrun.api.problems import RESPONSES
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.schemas import OutcomeBody, StoredAnswer

router = APIRouter(prefix="/v1", tags=["jobs"], responses=RESPONSES)


@router.post("/jobs")
def store_jobs(body: OutcomeBody, service: SharedService) -> StoredAnswer:
    """Store how one job (an object) or up to 10,000 (a list) ended, and learn from those that are new.

    Sending the same job again changes nothing.
    """
    jobs = body if isinstance(body, list) else [body]
    report = service.record([job.model_dump() for job in jobs])
    return StoredAnswer(new=report.new, known=report.known)
