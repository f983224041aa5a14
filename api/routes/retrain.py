"""POST /v1/retrain: begin a retraining. GET /v1/retrain/{id}: how far it is."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from crowdrun.api.routes.shared import Operator, SharedService
from crowdrun.api.schemas.answers import RetrainingAnswer
from crowdrun.api.serving.problems import RESPONSES, documented
from crowdrun.data.errors import BusyError
from crowdrun.data.roles import Role

router = APIRouter(prefix="/v1", tags=["retrain"], responses=RESPONSES)

IfNeeded = Annotated[bool, Query(description="do nothing unless a trigger fires, as `crowdrun retrain --if-needed`")]
Force = Annotated[bool, Query(description="publish without a contest; takes the role `admin`")]


@router.post("/retrain", status_code=HTTPStatus.ACCEPTED, responses=documented(409))
def begin(
    response: Response, service: SharedService, caller: Operator, if_needed: IfNeeded = False, force: Force = False
) -> RetrainingAnswer:
    """Begin a retraining, in a process of its own; the answer's `Location` tells its progress.

    What it publishes is taken up by itself. One runs at a time.
    """
    if force and not caller.role.covers(Role.ADMIN):
        raise HTTPException(HTTPStatus.FORBIDDEN, f"force takes the role admin, and the caller's is {caller.role}")
    try:
        begun = service.retrainings.start(if_needed=if_needed, force=force)
    except BusyError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
    response.headers["Location"] = f"/v1/retrain/{begun.id}"
    return RetrainingAnswer.of(begun)


@router.get("/retrain")
def retrainings(service: SharedService, _: Operator) -> list[RetrainingAnswer]:
    """The newest that were begun over REST or by the service's own schedule, newest first."""
    return [RetrainingAnswer.of(one) for one in service.retrainings.newest()]


@router.get("/retrain/{retraining_id}", responses=documented(404))
def retraining(
    retraining_id: Annotated[str, Path(max_length=100, examples=["20261104T101500Z-0d4f2c9a"])],
    service: SharedService,
    _: Operator,
) -> RetrainingAnswer:
    """How far one is, or what came of it."""
    known = service.retrainings.get(retraining_id)
    if known is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, f"no retraining {retraining_id!r} is known; GET /v1/retrain lists them"
        )
    return RetrainingAnswer.of(known)
