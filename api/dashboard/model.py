"""Model: how good it is at jobs that it had not seen, what it beat, whether jobs drift away; and the way back."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from crowdrun.api.dashboard import charts
from crowdrun.api.dashboard.access import CurrentViewer
from crowdrun.api.dashboard.asked import form
from crowdrun.api.dashboard.render import HEADERS, PageRoute, page
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.serving.service import Service
from crowdrun.data.errors import ModelError
from crowdrun.predictor.evaluation.model_figures import WATCHED_LEVEL
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining.attempt import Attempt
from crowdrun.predictor.retraining.last_look import LastLook

router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=PageRoute)
Form = Annotated[dict[str, str], Depends(form)]


@router.get("/model")
def model(request: Request, service: SharedService, viewer: CurrentViewer) -> Response:
    """The model that answers."""
    del viewer
    folder = service.settings.models_dir
    try:
        live = service.model
    except ModelError as error:
        return page(request, "model", trouble=str(error), models=_models(folder))
    figures = {name: one for name, one in service.figures(live).items() if one["judged"]}
    return page(
        request, "model", trouble=None, models=_models(folder), model_id=live.model_id, manifest=live.manifest,
        since=registry.current_since(folder), loading=_loading(service, live.model_id), figures=figures,
        report=live.manifest.summary.get("retraining"), before=registry.earlier_ids(folder), watched=WATCHED_LEVEL,
        attempt=Attempt.last(folder), look=LastLook.last(folder), plots=_plots(figures),
    )  # fmt: skip


@router.post("/model/rollback")
def roll_back(service: SharedService, viewer: CurrentViewer) -> Response:
    """Go back to the model that was current before."""
    viewer.must_operate()
    registry.roll_back(service.settings.models_dir)
    return RedirectResponse("/dashboard/model", 303, headers=HEADERS)


@router.post("/model/activate")
def activate(sent: Form, service: SharedService, viewer: CurrentViewer) -> Response:
    """Make a model of the list the current one."""
    viewer.must_operate()
    registry.activate(service.settings.models_dir, sent.get("id", ""))
    return RedirectResponse("/dashboard/model", 303, headers=HEADERS)


def _loading(service: Service, answers: str) -> str | None:
    """The model that is current and does not answer yet: it is loaded within a second, or is damaged."""
    try:
        current = registry.current_id(service.settings.models_dir)
    except ModelError:
        return None
    return None if current == answers else current


def _models(folder: Path) -> list[dict[str, Any]]:
    """Every published model, newest first; a damaged one with what is wrong."""
    try:
        current = registry.current_id(folder)
    except ModelError:
        current = None
    return [
        _listed(folder, model_id) | {"current": model_id == current} for model_id in registry.list_models(folder)[::-1]
    ]


def _listed(folder: Path, model_id: str) -> dict[str, Any]:
    try:
        manifest = registry.describe(folder, model_id)
    except ModelError as error:
        return {"id": model_id, "made": None, "jobs": None, "why": str(error), "whole": False}
    summary = manifest.summary
    return {
        "id": model_id, "made": datetime.fromisoformat(manifest.made).timestamp(), "jobs": summary.get("jobs"),
        "why": summary.get("retraining", {}).get("why", "published by hand"), "whole": True,
    }  # fmt: skip


def _plots(figures: Mapping[str, Any]) -> dict[str, charts.Chart]:
    plots = {}
    if "accuracy" in figures.get("mem_mb", {}):
        plots["accuracy"] = charts.accuracy(figures["mem_mb"]["segments"])
    if figures:
        plots["coverage"] = charts.coverage({name: one["coverage"] for name, one in figures.items()})
        plots["segments"] = charts.over_segments(
            {name: one["segments"] for name, one in figures.items()}, WATCHED_LEVEL
        )
    return plots
