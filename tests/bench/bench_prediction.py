"""How long the whole crowd takes for one job in process, every target that the log teaches, and how many jobs a second
it answers at once, as the service asks it: in chunks, with records and sentences.

The floor is what a request could not do without if every remembered job were looked at: the distances to them, one
product of a matrix and a vector a target, measured in between in the same run. Times are of the thread's own processor,
so that other work on the machine counts only by what it takes from the caches; the clock's are beside them.
"""

import os
import platform
import time
from collections.abc import Callable

import numpy as np

from crowdrun.api.serving.live_model import ANSWER_CHUNK
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from tests.bench.cluster_log import make_jobs

TRAINED, ASKED, ROUNDS = 12_000, 300, 3
BATCH = 2048
GOAL_P50_MS, GOAL_P99_MS, GOAL_BATCH = 1.0, 2.0, 10_000


def main() -> str:
    """The table, as markdown."""
    jobs = make_jobs(TRAINED + ASKED)
    crowd = Crowd.train(jobs.iloc[:TRAINED])
    requests = [JobRequest.from_mapping(row) for row in jobs.iloc[TRAINED:].to_dict("records")]
    matrices = [np.zeros((6000, 146), dtype=np.float32) + 1 for _ in crowd.models]
    vector = np.ones(146, dtype=np.float32)

    def floor() -> None:
        for matrix in matrices:
            _ = matrix @ vector

    ours, lowest = [], []
    for request in requests * ROUNDS:
        ours.append(_timed(lambda asked=request: crowd.recommend(asked)))
        lowest.append(_timed(floor))
    many = (requests * (1 + BATCH // ASKED))[:BATCH]
    chunks = [many[start : start + ANSWER_CHUNK] for start in range(0, BATCH, ANSWER_CHUNK)]
    batch_s = sum(_timed(lambda asked=chunk: crowd.recommend_many(asked))[1] for chunk in chunks)
    return _table(np.array(ours) * 1e3, np.array(lowest) * 1e3, BATCH / batch_s, list(crowd.models))


def _timed(what: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the thread's processor."""
    clock, own = time.perf_counter(), time.thread_time()
    what()
    return time.perf_counter() - clock, time.thread_time() - own


def _table(ours: np.ndarray, floor: np.ndarray, batch: float, targets: list[str]) -> str:
    lines = [
        f"## One prediction: the whole crowd, {len(targets)} targets, in process",
        "",
        f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end; "
        f"{', '.join(targets)}.",
        "",
        "| | p50, ms of the processor | p99 | p50, ms by the clock | p99 |",
        "|---|---|---|---|---|",
    ]
    for name, times in (("crowd", ours), ("floor", floor)):
        (clock, own), (clock99, own99) = np.quantile(times, 0.5, axis=0), np.quantile(times, 0.99, axis=0)
        lines.append(f"| {name} | {own:.2f} | {own99:.2f} | {clock:.2f} | {clock99:.2f} |")
    ratio = np.median(ours[:, 1]) / np.median(floor[:, 1])
    goals = f"goals: p50 {GOAL_P50_MS} ms, p99 {GOAL_P99_MS} ms, {GOAL_BATCH:,} jobs/s"
    batches = f"{batch:,.0f} jobs a second of the processor in chunks of {ANSWER_CHUNK}"
    return "\n".join([*lines, "", f"{ratio:.1f} x the floor; {batches} ({goals})."])
