"""What the runner measured of a job over time, from the folders of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from crowdrun.api.dashboard import charts
from crowdrun.api.dashboard.words import size
from crowdrun.training.runs.history import epochs_of, read_runs
from crowdrun.training.supervision import order

#: Runs that are looked through for a job, the newest.
NEWEST_RUNS = 1000
#: Points of a curve: more than a screen has pixels for are thinned out.
MOST_POINTS = 600


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt of a run, and what is to be plotted of it."""

    run_id: str
    number: int
    cause: str | None
    #: Name -> score of the test set, where the run came to its end.
    scores: Mapping[str, float]
    #: What it shows -> the plot.
    plots: Mapping[str, charts.Chart]
    #: A line an epoch: epoch, loss, samples a second.
    epochs: Sequence[Mapping[str, Any]]


def attempts_of(runs_dir: Path, job_id: str) -> list[Attempt]:
    """The attempts that were this job, oldest first; none where the runner did not run it."""
    return [
        _attempt(record, attempt, runs_dir / record["run_id"] / f"attempt-{attempt['number']}")
        for record in islice(read_runs(runs_dir), NEWEST_RUNS)
        for attempt in record.get("attempts", [])
        if attempt["request"]["job_id"] == job_id
    ]


def _attempt(record: Mapping[str, Any], attempt: Mapping[str, Any], folder: Path) -> Attempt:
    request = attempt["request"]
    epochs = epochs_of(folder)
    plots = {
        "host memory": _memory(folder, request["req_mem_mb"]),
        "GPU memory": _gpu(folder, "mem_mb"),
        "GPU utilisation": _gpu(folder, "utilisation"),
        "loss": _loss(epochs),
    }
    result = record["result"] if attempt is record["attempts"][-1] else None
    return Attempt(
        run_id=record["run_id"], number=attempt["number"], cause=attempt["cause"],
        scores=(result or {}).get("scores", {}), epochs=epochs,
        plots={name: plot for name, plot in plots.items() if plot},
    )  # fmt: skip


def _memory(folder: Path, asked_mb: float | None) -> charts.Chart | None:
    points = [(one.time_s, one.mem_mb) for one in order.read_samples(folder, 0)]
    levels = {f"given {size('mem_mb', asked_mb)}": (asked_mb, "--request")} if asked_mb else {}
    return _series(points, "host memory, MB", levels)


def _gpu(folder: Path, figure: str) -> charts.Chart | None:
    readings = ((one.time_s, getattr(one, figure)) for one in order.read_gpu_samples(folder, 0))
    unit = "memory of one GPU, MB" if figure == "mem_mb" else "GPU utilisation"
    return _series([(when, value) for when, value in readings if value is not None], unit, {})


def _loss(epochs: Sequence[Mapping[str, Any]]) -> charts.Chart | None:
    points = [(float(line["epoch"]), float(line["loss"])) for line in epochs]
    return charts.series(points, x="epoch", y="training loss", levels={}) if points else None


def _series(
    points: Sequence[tuple[float, float]], y: str, levels: Mapping[str, tuple[float, str]]
) -> charts.Chart | None:
    if not points:
        return None
    together = -(-len(points) // MOST_POINTS)
    # Of neighbours the highest stays, so that no peak is lost.
    kept = [max(points[at : at + together], key=lambda one: one[1]) for at in range(0, len(points), together)]
    return charts.series(kept, x="seconds", y=y, levels=levels)
