"""Try it: a batch script or a form, and what its job needs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from crowdrun.api.dashboard.access import CurrentViewer, Viewer
from crowdrun.api.dashboard.answer import answer_for
from crowdrun.api.dashboard.asked import Asked, form
from crowdrun.api.dashboard.render import PageRoute, page
from crowdrun.api.dashboard.words import size
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.serving.service import Service
from crowdrun.data.errors import ModelError, RequestError
from crowdrun.data.job import JobRequest

#: Field of a request -> what it is called.
WORDS = {
    "job_name": "job name", "req_nodes": "nodes", "req_cpus": "CPUs in total", "req_mem_mb": "memory in total",
    "req_gpus": "GPUs in total", "gpu_type": "GPU type", "timelimit_s": "time limit", "partition": "queue",
    "batch_size": "batch size", "model": "network", "work_dir": "folder",
}  # fmt: skip

router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=PageRoute)
Form = Annotated[dict[str, str], Depends(form)]


@router.get("/try")
def ask(request: Request, service: SharedService, viewer: CurrentViewer, job: str | None = None) -> Response:
    """An empty form, or one that asks again for a job of the store."""
    runs = [run for run in service.store.get(job) if viewer.sees(run)] if job else []
    return _shown(request, service, Asked.again(runs[-1]) if runs else Asked.of(_who(viewer)))


@router.post("/try")
def answer(request: Request, sent: Form, service: SharedService, viewer: CurrentViewer) -> Response:
    """What the job of the form needs."""
    asked = Asked.of(sent | _who(viewer))
    if asked.is_empty:
        return _shown(request, service, asked, trouble="Paste a script, or fill in at least a user and a job name.")
    try:
        job = asked.request()
        told = answer_for(service, job, asked.chosen_risk(service.settings.risk), asked.script)
    except RequestError as error:
        return _shown(request, service, asked, trouble=str(error), status=422)
    return _shown(request, service, asked, job=job, told=told)


def _who(viewer: Viewer) -> dict[str, str]:
    """Who sees their own jobs alone asks as themselves."""
    return {"user": viewer.user} if viewer.user is not None else {}


def understood(job: JobRequest) -> list[tuple[str, str]]:
    """What the script and the form came to, as a person reads it."""
    known = {name: value for name, value in asdict(job).items() if value is not None and name != "submit_time"}
    return [(WORDS.get(name, name), _written(name, value)) for name, value in known.items()]


def _written(name: str, value: Any) -> str:
    targets = {"req_mem_mb": "mem_mb", "timelimit_s": "run_time_s"}
    return size(targets[name], value) if name in targets else str(value)


def _shown(
    request: Request, service: Service, asked: Asked, *, job: JobRequest | None = None,
    told: Mapping[str, Any] | None = None, trouble: str | None = None, status: int = 200,
) -> Response:  # fmt: skip
    try:
        _ = service.model
        without = None
    except ModelError as error:
        without = str(error)
    return page(
        request, "try", status=status, asked=asked, job=job, told=told, trouble=trouble, without=without,
        understood=[] if job is None else understood(job),
    )  # fmt: skip
