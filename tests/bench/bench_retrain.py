"""What a full retrain costs against the rows of the log: every target, time and memory, from 10^4 to 10^6 jobs.

Each size runs in a process of its own. Processor time is beside the clock's, since other work may share the machine.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

BUILD = Path(__file__).parents[2] / "build" / "bench"
ROWS = (10_000, 50_000, 200_000, 1_000_000)
GOAL_ROWS, GOAL_S, GOAL_MB = 200_000, 180, 4096
#: Jobs that end after the training, to time an online update, and what one may take.
UPDATES, GOAL_UPDATE_MS = 60, 50


def measure(rows: int) -> dict[str, float]:
    """The figures of one size, from a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_retrain", str(rows)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=BUILD.parents[1])
    return json.loads(answer.stdout)


def main(sizes: tuple[int, ...] = ROWS) -> str:
    """The table, as markdown; the plot is written beside it."""
    runs = [measure(rows) for rows in sizes]
    plot(runs)
    lines = [
        "## Retrain: cost against rows",
        "",
        f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end; a seeded log of "
        "a synthetic cluster; every target that it teaches.",
        "",
        "| jobs | s | processor s | of it labels and histories | peak MB | update, ms (median) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run['rows']:,.0f} | {run['s']:.0f} | {run['cpu_s']:.0f} | {run['read_cpu_s']:.1f} | "
        f"{run['peak_mb']:.0f} | {run['update_ms']:.1f} |"
        for run in runs
    ]
    lines += [
        "",
        f"Goals at {GOAL_ROWS:,} jobs: {GOAL_S} s, {GOAL_MB} MB; an update {GOAL_UPDATE_MS} ms. Plot: retrain.svg.",
    ]
    return "\n".join(lines)


def plot(runs: list[dict[str, float]]) -> None:
    """Log-log, with a line of slope 1."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    rows = [run["rows"] for run in runs]
    for name, label in (("cpu_s", "processor s"), ("read_cpu_s", "of it labels and histories")):
        axes.loglog(rows, [run[name] for run in runs], marker="o", label=label)
    axes.loglog(rows, [runs[0]["read_cpu_s"] * one / rows[0] for one in rows], ":", color="grey", label="linear")
    axes.set(xlabel="jobs of the log", ylabel="s", title="A full retrain")
    axes.legend()
    BUILD.mkdir(parents=True, exist_ok=True)
    figure.savefig(BUILD / "retrain.svg")
    pyplot.close(figure)


def _run(rows: int) -> dict[str, float]:
    from crowdrun.predictor.crowd import Crowd
    from crowdrun.predictor.history import History
    from crowdrun.predictor.items import Items
    from crowdrun.predictor.learning_log import LearningLog
    from crowdrun.predictor.replay import look
    from crowdrun.predictor.target import TARGETS
    from tests.bench.cluster_log import make_jobs

    jobs = make_jobs(rows + UPDATES)
    past, later = jobs.iloc[:rows], jobs.iloc[rows:].to_dict("records")
    began, began_cpu = time.perf_counter(), time.process_time()
    crowd = Crowd.train(past)
    taken, taken_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    peak_mb = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    began_cpu = time.process_time()
    log = LearningLog.of(past)
    for target in (target for target in TARGETS if target.name in crowd.models):
        look(log, target, History(), Items(), slice(max(0, rows - 40_000), rows))
    read = time.process_time() - began_cpu
    updates = []
    for job in later:
        began = time.perf_counter()
        crowd.observe(job)
        updates.append(time.perf_counter() - began)
    return {
        "rows": rows, "s": taken, "cpu_s": taken_cpu, "read_cpu_s": read, "peak_mb": peak_mb,
        "update_ms": 1e3 * sorted(updates)[UPDATES // 2],
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]))))
