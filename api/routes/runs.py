"""GET /v1/runs: the runs of `crowdrun run` under the service's own home, and the story of one."""

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException

from crowdrun.api.routes.shared import SharedService, Submitter
from crowdrun.api.schemas.runs import AttemptAnswer, Epoch, RunAnswer, RunListed, RunsAnswer
from crowdrun.api.serving.auth import Caller
from crowdrun.api.serving.problems import RESPONSES, documented
from crowdrun.api.serving.service import Service
from crowdrun.data.errors import LaunchError
from crowdrun.training.runs.history import attempt_folders, epochs_of, read_run, read_runs, summary_of

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=RESPONSES)

Limit = Annotated[int, Query(ge=1, le=1000, description="how many, the newest first")]
RunId = Annotated[str, Path(pattern=r"^\d{8}T\d{6}Z-[a-z0-9-]{1,60}$", examples=["20261129T171916Z-digits-577e"])]


@router.get("")
def runs(service: SharedService, caller: Submitter, limit: Limit = 100) -> RunsAnswer:
    """What was run, the newest first; with the role `submit`, own runs."""
    seen = (record for record in read_runs(service.settings.runs_dir) if _is_theirs(caller, record))
    return RunsAnswer(runs=[_listed(service, record) for record in islice(seen, limit)])


@router.get("/{run_id}", responses=documented(404))
def run(run_id: RunId, service: SharedService, caller: Submitter) -> RunAnswer:
    """The plan of one run with its reasons, its attempts with their losses, and what its ranks held."""
    try:
        record = read_run(service.settings.runs_dir, run_id)
    except LaunchError:
        record = None
    if record is None or not _is_theirs(caller, record) or record["run_id"] != run_id:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no run {run_id} is known, or it is not yours to see")
    ended = {one["number"]: one for one in record.get("attempts") or []}
    return RunAnswer(
        **_listed(service, record).model_dump(),
        plan=record["plan"],
        attempt_list=[
            AttemptAnswer(
                number=number,
                cause=ended.get(number, {}).get("cause"),
                req_mem_mb=ended.get(number, {}).get("request", {}).get("req_mem_mb"),
                **ended.get(number, {}).get("outcome", {}),
                epochs=[Epoch.model_validate(epoch) for epoch in epochs_of(folder)],
            )
            for number, folder in enumerate(attempt_folders(record), start=1)
        ],
        rank_reports=(record.get("result") or {}).get("ranks", []),
    )


def _is_theirs(caller: Caller, record: Mapping[str, Any]) -> bool:
    """The folders hold people's own names, also where the store holds pseudonyms."""
    return caller.sees_all or (caller.user is not None and record["request"]["user"] == caller.user)


def _listed(service: Service, record: Mapping[str, Any]) -> RunListed:
    told = asdict(summary_of(record))
    pseudonyms = service.store.pseudonyms
    if pseudonyms:
        told |= {"user": pseudonyms.name(told["user"] or ""), "job_name": None}
    return RunListed(**told)
