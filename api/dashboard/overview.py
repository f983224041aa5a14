"""Overview: what is asked for and not used, by whom, when, and what crowdrun would have saved."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from crowdrun.api.dashboard import charts
from crowdrun.api.dashboard.access import CurrentViewer, Viewer
from crowdrun.api.dashboard.render import PageRoute, page
from crowdrun.api.dashboard.words import NONE
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.serving.service import Service
from crowdrun.data import store_follow
from crowdrun.data.errors import ModelError
from crowdrun.data.store import JobStore
from crowdrun.data.stretches import DAY_S
from crowdrun.data.usage import OTHER, Row, Usage, newest_end

router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=PageRoute)

Dimension = Literal["user", "account", "partition"]
#: Dimension -> what it is called.
DIMENSIONS: Mapping[str, str] = {"user": "User", "account": "Account", "partition": "Queue"}
#: Days before the newest end -> what the choice is called.
PERIODS: Mapping[int, str] = {0: "All time", 90: "90 days", 30: "30 days", 7: "7 days"}
#: Names that have a colour of their own, and rows of the table.
COLOURED, LISTED = len(charts.SHADES), 20


@router.get("/")
def overview(
    request: Request,
    service: SharedService,
    viewer: CurrentViewer,
    by: Dimension = "user",
    days: Annotated[int, Query(ge=0, le=3650)] = 0,
) -> Response:
    """The first page."""
    newest = newest_end(service.store)
    since = newest - days * DAY_S if days and newest is not None else None
    usage = _usage(service.store, store_follow.position(service.store), viewer.stored_user, since)
    if not usage.total["jobs"]:
        return page(request, "overview", empty=True, choices=_choices(by, days))
    saved = _saved(service, viewer)
    rows = usage.by(by)
    return page(
        request, "overview", empty=False, choices=_choices(by, days), total=usage.total, saved=saved,
        offenders=_offenders(rows, by, saved), dimension=DIMENSIONS[by], by=by, others=max(0, len(rows) - LISTED),
        plots=_plots(usage, by, rows, saved),
    )  # fmt: skip


@lru_cache(maxsize=32)
def _usage(store: JobStore, position: int, user: str | None, since: float | None) -> Usage:
    """Summed up once as long as the store stays at this position."""
    del position
    return Usage.of(store, user=user, since=since)


def _choices(by: str, days: int) -> Mapping[str, Any]:
    return {"by": by, "days": days, "dimensions": DIMENSIONS, "periods": PERIODS}


def _saved(service: Service, viewer: Viewer) -> Mapping[str, Any] | None:
    """What the model would have saved on jobs that it had not seen; None where it tells nothing, or of others."""
    if viewer.user is not None:
        return None
    try:
        figures = service.figures(service.model)
    except ModelError:
        return None
    saved: Mapping[str, Any] | None = figures.get("mem_mb", {}).get("savings")
    return saved if saved and saved["ways"]["request"]["waste_gbh"] else None


def _offenders(rows: Sequence[Row], by: str, saved: Mapping[str, Any] | None) -> list[Row]:
    """The names that waste most, with the length of their bar and what the model would have changed."""
    would = {row["name"]: row for row in saved["by"][by]} if saved else {}
    most = max((row["wasted_gbh"] for row in rows), default=0.0)
    return [
        row
        | {
            "bar": row["wasted_gbh"] / most if most else 0.0,
            "unused": row["wasted_gbh"] / row["asked_gbh"] if row["asked_gbh"] else None,
            "would": _change(would.get(row["name"])),
        }
        for row in rows[:LISTED]
    ]


def _change(row: Mapping[str, Any] | None) -> float | None:
    """How much less is wasted with the safe figure, as a share; below 0 it is more."""
    return 1 - row["safe"] / row["request"] if row and row["request"] else None


def _plots(usage: Usage, by: str, rows: Sequence[Row], saved: Mapping[str, Any] | None) -> dict[str, charts.Chart]:
    plots = {"memory": _stack(usage, by, rows, "wasted_gbh", "GB·h")}
    if usage.total["gpu_jobs"]:
        idle = usage.total["judged_gpuh"] > 0
        plots["gpu"] = _stack(usage, by, rows, "idle_gpuh" if idle else "held_gpuh", "GPU·h")
    if saved:
        lines = {
            "request": ("the users' requests", "--request"), "safe": ("crowdrun, safe", "--accent"),
            "lean": ("crowdrun, lean", "--muted"),
        }  # fmt: skip
        plots["saved"] = charts.lines_over_time(saved["over_time"], lines, "GB·h wasted")
    return plots


def _stack(usage: Usage, by: str, rows: Sequence[Row], figure: str, unit: str) -> charts.Chart:
    top = [row["name"] for row in sorted(rows, key=lambda row: -row[figure])[:COLOURED] if row[figure]]
    over_time = [row | {"name": NONE if row["name"] is None else row["name"]} for row in usage.over_time(by, top)]
    names = [NONE if name is None else name for name in top]
    rest = [OTHER] if any(row["name"] == OTHER and row[figure] for row in over_time) else []
    return charts.bars_over_time(over_time, [*names, *rest], figure, usage.stretch_s, unit)
