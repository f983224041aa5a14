"""Jobs: a search over the history, and one job's request against its use."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from crowdrun.api.dashboard.access import CurrentViewer, stored
from crowdrun.api.dashboard.render import PageRoute, page
from crowdrun.api.dashboard.runs import attempts_of
from crowdrun.api.routes.shared import SharedService
from crowdrun.data.errors import RequestError
from crowdrun.data.job_search import ORDERS, Search, find
from crowdrun.data.states import STATES
from crowdrun.data.stretches import DAY_S
from crowdrun.data.usage import MB_PER_GB

router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=PageRoute)
Text = Annotated[str, Query(max_length=256)]
#: Of the form; empty where nothing was typed.
FIELDS = ("job_id", "user", "name", "state", "account", "partition", "since", "until", "order")


@router.get("/jobs")
def jobs(
    request: Request,
    service: SharedService,
    viewer: CurrentViewer,
    job_id: Text = "",
    user: Text = "",
    name: Text = "",
    state: Text = "",
    account: Text = "",
    partition: Text = "",
    since: Text = "",
    until: Text = "",
    order: Text = "",
    page_number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
) -> Response:
    """Fifty runs that fit, the newest first."""
    sent = dict(zip(FIELDS, (job_id, user, name, state, account, partition, since, until, order), strict=True))
    search = Search(
        job_id=job_id.strip() or None, user=viewer.stored_user or stored(service, user.strip()), name=name.strip(),
        state=state if state in STATES else None, account=stored(service, account), partition=partition,
        since=_day(since, "since"), until=_after(until), order=order if order in ORDERS else ORDERS[0],
    )  # fmt: skip
    found = find(service.store, search, page=page_number)
    asked = {field: value for field, value in sent.items() if value}
    return page(
        request, "jobs", sent=sent, found=[_listed(job) for job in found.jobs], total=found.total, number=found.page,
        count=found.pages, states=[one for one in STATES if STATES[one].ended], orders=ORDERS,
        address=lambda number: f"/dashboard/jobs?{urlencode(asked | {'page': number})}",
    )  # fmt: skip


@router.get("/job")
def job(request: Request, service: SharedService, viewer: CurrentViewer, id: Text) -> Response:
    """Every run of one job, the newest first."""
    runs = [run for run in service.store.get(id) if viewer.sees(run)]
    if not runs:
        raise HTTPException(404, f"there is no job {id} in the history, or it is not yours to see")
    attempts = attempts_of(service.settings.runs_dir, id)
    return page(request, "job", job_id=id, runs=[_listed(run) for run in runs[::-1]], attempts=attempts)


def _listed(run: dict[str, Any]) -> dict[str, Any]:
    """A run with what follows from its columns."""
    start, end, asked, peak = (run[name] for name in ("start_time", "end_time", "req_mem_mb", "peak_mem_mb"))
    run_time = None if start is None or end is None else end - start
    ended = run["state"] in STATES and STATES[run["state"]].ended
    wasted = None
    if asked and run_time and (peak or _died(run)):
        used = 0.0 if _died(run) else peak
        wasted = max(asked - used, 0.0) * run_time / 3600 / MB_PER_GB
    return run | {
        "run_time_s": run_time, "wasted_gbh": wasted, "ended": ended,
        "mem_share": min(peak / asked, 1.0) if asked and peak else None,
        "time_share": min(run_time / run["timelimit_s"], 1.0) if run_time and run["timelimit_s"] else None,
    }  # fmt: skip


def _died(run: dict[str, Any]) -> bool:
    """For want of memory: all that it held is wasted, as in `data/usage.py`."""
    return run["state"] in STATES and STATES[run["state"]].memory_is_bound


def _day(text: str, field: str) -> float | None:
    """The first moment of a day, UTC epoch seconds."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise RequestError(f"{field} is {text!r}; it must be a day like 2026-11-24") from error


def _after(text: str) -> float | None:
    """The first moment after a day."""
    first = _day(text, "until")
    return None if first is None else first + DAY_S
