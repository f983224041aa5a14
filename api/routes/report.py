"""GET /v1/report/usage: what jobs held and did not use. GET /v1/report/model: how good the model in use is."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from crowdrun.api.routes.shared import Operator, SharedService
from crowdrun.api.schemas.answers import UsageReport, UsageRow
from crowdrun.api.schemas.model_report import ModelReport
from crowdrun.api.serving.problems import RESPONSES
from crowdrun.data.usage import Usage

router = APIRouter(prefix="/v1/report", tags=["report"], responses=RESPONSES)

By = Annotated[Literal["user", "account", "partition"], Query(description="whose waste is summed up")]
Since = Annotated[float | None, Query(ge=0, le=1e11, description="jobs that ended then or later, UTC epoch seconds")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="rows, most GB·h wasted first")]


@router.get("/usage")
def usage(service: SharedService, _: Operator, by: By = "user", since: Since = None, limit: Limit = 100) -> UsageReport:
    """GB·h and GPU·h that jobs asked for and did not use: in all, and by user, account or partition."""
    found = Usage.of(service.store, since=since)
    rows = found.by(by)
    return UsageReport(
        by=by, total=UsageRow(name=None, **found.total), groups=len(rows),
        rows=[UsageRow.model_validate(row) for row in rows[:limit]],
    )  # fmt: skip


@router.get("/model")
def model(service: SharedService, _: Operator) -> ModelReport:
    """The figures of the model in use, on jobs that it had not seen: by target, and what it was published for.

    They are those that the page Model of the dashboard shows.
    """
    live = service.model
    summary = live.manifest.summary
    return ModelReport(
        id=live.model_id, made=live.manifest.made, jobs=summary.get("jobs"), targets=summary.get("targets", {}),
        figures=service.figures(live), retraining=summary.get("retraining", {}),
    )  # fmt: skip
