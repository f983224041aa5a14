"""`report.json` and `report.html` of a backtest: every figure, and one page that shows them and asks no other host."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowdrun.predictor.baselines.rules import REQUEST, RULES
from crowdrun.predictor.evaluation import plots
from crowdrun.predictor.evaluation.figures import LEAN, SAFE, Figures, compute
from crowdrun.predictor.evaluation.inline_svg import Draw, Frame, Plot, render
from crowdrun.predictor.evaluation.page import ENVIRONMENT, day, write
from crowdrun.predictor.evaluation.strict_json import strict
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.replay import Replayed

#: Target -> what its panel is headed.
TARGET_TITLES: dict[str, str] = {
    "mem_mb": "Host memory",
    "run_time_s": "Run time",
    "gpus": "GPUs",
    "gpu_mem_mb": "GPU memory",
    "wait_s": "Wait",
}
#: Plot -> what a reader who does not see it is told; a table beside each plot holds the figures.
ALTERNATIVES: dict[str, str] = {
    "accuracy": "Share of jobs with the right memory class in five consecutive segments of the log, one line for the "
    "mode, the poll, the crowd and each learner. A table below holds the same figures.",
    "coverage": "Share of jobs that stayed within each quantile against the share that was promised, one panel a "
    "target. A table below holds the same figures.",
    "wastage": "Gigabyte-hours wasted against the share of first attempts that fail: curves for the crowd and each "
    "learner, numbered points for the request and the rules of thumb. A table below holds the points.",
    "wasters": "Gigabyte-hours wasted by the users who waste most, by their own requests and with the crowd's safe "
    "figure. A table below holds the same figures.",
}


def write_report(
    out: Path, log: LearningLog, replayed: Mapping[str, Replayed], *, risk: float, seconds: float
) -> Mapping[str, Any]:
    """Judge a replay and write `report.json` and `report.html` into the folder `out`, each whole or not at all.

    seconds: what the replay took. Returns the figures, as `report.json` holds them (null where there is none).

    Raises:
        OutputError: a file cannot be written; says which and why.
    """
    began = time.monotonic()
    figures = compute(log, replayed, risk=risk, seconds=seconds)
    figures["seconds_judging"] = round(time.monotonic() - began, 3)
    told: Figures = strict(figures)
    write(out / "report.json", json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False))
    write(out / "report.html", page(told))
    return told


def page(figures: Figures) -> str:
    """The page of the figures of `compute`."""
    points = _points(figures["memory"]) if "memory" in figures else []
    words = {"titles": TARGET_TITLES, "safe": SAFE, "lean": LEAN, "request": REQUEST}
    return ENVIRONMENT.get_template("report.html.j2").render(
        figures=figures,
        points=points,
        plots=_plots(figures, points),
        risk=f"{figures['risk'] * 100:g}%",
        first_day=day(figures["first_submit_time"]),
        last_day=day(figures["last_submit_time"]),
        **words,
    )


def _points(memory: Figures) -> list[plots.Point]:
    inks = {SAFE: "crowd", LEAN: "crowd", REQUEST: "request"} | dict.fromkeys(RULES, "rule")
    return [
        plots.Point(
            label=name, failures=memory["allocations"][name]["first_attempt_failures"]["value"],
            waste_gbh=memory["allocations"][name]["waste_gbh"]["value"], ink=ink,
        )
        for name, ink in inks.items()
        if memory["scored"]
    ]  # fmt: skip


def _plots(figures: Figures, points: list[plots.Point]) -> dict[str, Plot]:
    """Name -> plot; one that has nothing to show is left out."""
    covered = {TARGET_TITLES[name]: one["coverage"] for name, one in figures["targets"].items() if one.get("scored")}
    drawn: dict[str, Plot] = {}
    if covered:
        rows = plots.coverage_rows(len(covered), narrow=False)
        drawn["coverage"] = _plot("coverage", plots.coverage(covered), 0.4 + 3.9 * rows, 0.4 + 4.1 * len(covered))
    if not points:
        return drawn
    memory = figures["memory"]
    if memory["accuracy"]["scored"]:
        drawn["accuracy"] = _plot("accuracy", plots.accuracy(memory["accuracy"]["segments"]), 4.6, 4.6)
    drawn["wastage"] = _plot("wastage", plots.wastage(memory["curves"], points, memory["scored"]), 5.4, 5.2)
    bars = 0.46 * len(memory["wasters"])
    drawn["wasters"] = _plot("wasters", plots.wasters(memory["wasters"]), 1.3 + bars, 1.4 + bars)
    return drawn


def _plot(name: str, draw: Draw, height: float, narrow_height: float) -> Plot:
    wide, narrow = Frame(width=10.4, height=height), Frame(width=4.6, height=narrow_height)
    return render(name, ALTERNATIVES[name], draw, wide=wide, narrow=narrow)
