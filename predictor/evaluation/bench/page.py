"""`bench.html` and `bench.json`: everything that `crowdrun bench sizing` found, on one page that asks no other host."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowdrun.data.errors import OutputError
from crowdrun.predictor.evaluation import plots
from crowdrun.predictor.evaluation.bench.groups import SHOWN, WINDOW
from crowdrun.predictor.evaluation.bench.plots import ALLOWED, coverage_of_groups
from crowdrun.predictor.evaluation.inline_svg import Draw, Frame, Plot, render
from crowdrun.predictor.evaluation.page import ENVIRONMENT, write

Figures = Mapping[str, Any]

#: Kind of method -> the ink of its point; members and hindsight stand in the table alone.
POINT_INKS = {"crowd": "crowd", "published": "mode", "rule": "rule"}
#: The lecture's slide, two series (mode and poll) whose mapping is lost: the accuracies over five segments, as printed.
LECTURE = (0.909, 0.892, 0.869, 0.807, 0.791, 0.782, 0.774, 0.754, 0.663, 0.602)
#: How a set of logs is called -> what tells its names from the others'.
SETS: tuple[tuple[str, str, str], ...] = (
    (
        "published",
        "Nextflow, published protocol",
        "Six workflow traces as Sizey's authors judge them: a random 30% of each task type to learn from, the others "
        "one after the other. GB of 10⁹ bytes.",
    ),
    (
        "submit",
        "Nextflow, in the order of submission",
        "The same tasks and feedback, in the order in which they were submitted.",
    ),
    (
        "live",
        "Nextflow, live",
        "The same order with the true times: a task is known when it has ended. Workflows submit many at once, so "
        "much of this is sized blind, by all.",
    ),
)
TARGET_TITLES = {"gpus": "GPU count", "run_time_s": "Run time", "wait_s": "Wait"}


def write_page(figures: Figures, out: Path) -> None:
    """Write `bench.json` and `bench.html` into the folder `out`, each whole or not at all.

    Raises:
        OutputError: the folder or a file cannot be written; says which and why.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {out}: {error.strerror or error}; choose another --out") from error
    write_json(figures, out / "bench.json")
    write(out / "bench.html", page(figures))


def write_json(figures: Figures, file: Path) -> None:
    """Every figure of `run.run`."""
    write(file, json.dumps(figures, indent=1, allow_nan=False, ensure_ascii=False))


def page(figures: Figures) -> str:
    """The page of the figures of `run.run`."""
    memory = {name: log for name, log in figures["logs"].items() if "methods" in log}
    points = {name: _points(log) for name, log in memory.items()}
    return ENVIRONMENT.get_template("bench/bench.html.j2").render(
        figures=figures, memory=memory, points=points, plots=_plots(memory, points), sums=sums(memory),
        on_frontier=_on_frontier(memory), lecture=LECTURE, window=WINDOW, allowed=ALLOWED,
        targets=_targets(figures["logs"]), target_titles=TARGET_TITLES, risk=f"{figures['risk'] * 100:g}%",
    )  # fmt: skip


def order_of(log: str) -> str | None:
    """The set of a log, None for one that is alone.

    >>> [order_of(name) for name in ("iu-mason", "nextflow-mag", "nextflow-mag-live")]
    [None, 'submit', 'live']
    """
    if not log.startswith("nextflow-"):
        return None
    ending = log.rpartition("-")[2]
    return ending if ending in {"published", "live"} else "submit"


def sums(memory: Figures) -> list[dict[str, Any]]:
    """Of each set of logs, the GB·h of every method over all of them, least first, with failures weighted by jobs."""
    found = []
    for order, title, told in SETS:
        logs = [log for name, log in memory.items() if order_of(name) == order]
        if len(logs) < 2:
            continue
        jobs = sum(log["scored"] for log in logs)
        methods = [
            {
                "name": name, "title": one["title"], "kind": one["kind"],
                "waste_gbh": sum(log["methods"][name]["waste_gbh"] for log in logs),
                "fail": sum(log["methods"][name]["fail"] * log["scored"] for log in logs) / jobs,
            }
            for name, one in logs[0]["methods"].items()
        ]  # fmt: skip
        methods.sort(key=lambda one: float(one["waste_gbh"]))
        found.append({"title": title, "told": told, "logs": len(logs), "jobs": jobs, "methods": methods})
    return found


def _on_frontier(memory: Figures) -> dict[str, int]:
    return {
        name: sum(bool(log["frontier"][name]["on_frontier"]) for log in memory.values())
        for name in ("crowd_safe", "crowd_lean")
    }


def _targets(logs: Figures) -> dict[str, dict[str, Any]]:
    """Target -> log -> figures, of the targets that are judged."""
    return {
        target: {name: log["targets"][target] for name, log in logs.items() if target in log["targets"]}
        for target in TARGET_TITLES
    }


def _points(log: Figures) -> list[plots.Point]:
    return [
        plots.Point(
            label=one["title"], failures=one["fail"], waste_gbh=one["waste_gbh"],
            ink="request" if name == "request" else POINT_INKS[one["kind"]],
        )
        for name, one in log["methods"].items()
        if one["kind"] in POINT_INKS
    ]  # fmt: skip


def _plots(memory: Figures, points: Mapping[str, list[plots.Point]]) -> dict[str, Plot]:
    """Name -> plot."""
    drawn: dict[str, Plot] = {}
    for name, log in memory.items():
        field = plots.wastage({"crowd": log["curve"]}, points[name], log["scored"])
        drawn[f"{name}-wastage"] = _plot(
            f"{name}-wastage",
            f"Gigabyte-hours wasted against the share of first attempts that fail, on {name}: a curve for the crowd, "
            "numbered points for everybody else. A table below holds the figures.",
            field,
            5.6,
        )
        if log["groups"]:
            drawn[f"{name}-groups"] = _plot(
                f"{name}-groups",
                f"Coverage of {SHOWN:.0%} over rolling windows of {WINDOW} jobs, on {name}: one line for each user, "
                "queue and family. A table below holds the worst.",
                coverage_of_groups(log["groups"], SHOWN),
                3.9,
            )
    return drawn


def _plot(name: str, alternative: str, draw: Draw, height: float) -> Plot:
    return render(
        name, alternative, draw, wide=Frame(width=10.4, height=height), narrow=Frame(width=4.6, height=height)
    )
