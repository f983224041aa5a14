"""Mixed load on one worker: single jobs, batches, outcomes, swaps of the model, and retrainings one after the other.

    python -m tests.bench mixed --minutes 30

The memory of the process that answers is read every 10 s (oftener in a short run), into build/bench/mixed-memory.csv
and a plot beside it.
"""

import csv
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crowdrun.api.client import Client, Patience
from crowdrun.data.errors import ServiceError
from crowdrun.data.settings import load_settings
from crowdrun.predictor.persistence import registry
from tests.bench.served import Served, failed, prepare, serving

FOLDER = Path(__file__).parents[2] / "build" / "bench"
#: Between two swaps of the model, two outcomes, and the end of a retraining and the next one, s.
SWAP_S, OUTCOME_S, RETRAIN_PAUSE_S = 5.0, 0.05, 120.0
#: What each caller sends: name, connections, jobs in a request.
CALLERS = (("one job", 8, 1), ("50 jobs", 2, 50))


def main(minutes: float = 1.0) -> str:
    """The figures, as markdown; the plot of memory is beside the report."""
    with TemporaryDirectory() as folder:
        settings = load_settings(environment={"CROWDRUN_HOME": folder})
        asked = prepare(settings)
        with (
            serving(settings, 1) as served,
            Client(f"http://127.0.0.1:{served.port}", patience=Patience(attempts=1)) as client,
        ):
            run = _Run(served, client, 60 * minutes)
            results = run.drive(asked, registry.list_models(settings.models_dir))
    _plot(run.memory)
    lines = [
        f"- {name}: {sum(told['statuses'].values()):,} requests, p50 {told['latencies_ms']['p50']:.2f} ms, "
        f"p99 {told['latencies_ms']['p99']:.2f} ms, not 200: {failed(told)}"
        for name, told in results.items()
    ]
    lines.append(f"- {', '.join(f'{number:,} {what}' for what, number in sorted(run.done.items()))}")
    return "\n".join([
        f"## {minutes:g} minutes of mixed load, one worker", "",
        f"Load average {os.getloadavg()[0]:.1f} at the end.", "", *lines, _memory_line(run.memory),
    ])  # fmt: skip


class _Run:
    """One run: what was done, and the memory (minutes, MB) meanwhile."""

    def __init__(self, served: Served, client: Client, seconds: float) -> None:
        self.served, self.client, self.seconds = served, client, seconds
        self.until = time.monotonic() + seconds
        self.done: Counter[str] = Counter()
        self.memory: list[tuple[float, float]] = []

    def drive(self, asked: list[dict[str, Any]], models: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Caller -> what its load generator tells."""
        results: dict[str, dict[str, Any]] = {}

        def call(name: str, connections: int, jobs: int) -> None:
            body = asked[0] if jobs == 1 else asked[:jobs]
            results[name] = self.served.load(
                connections=connections, seconds=self.seconds, path="/v1/predict", body=body
            )

        threads = [threading.Thread(target=call, args=caller) for caller in CALLERS]
        threads += [threading.Thread(target=work) for work in (self._tell_outcomes, self._retrain, self._watch)]
        threads.append(threading.Thread(target=self._swap, args=(models,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def _tell_outcomes(self) -> None:
        for number in count():
            if time.monotonic() > self.until:
                return
            times = {"submit_time": 1.9e9 + number, "start_time": 1.9e9 + number, "end_time": 1.9e9 + number + 60}
            job = {
                "job_id": f"bench-{number}",
                "user": f"user{number % 20}",
                "state": "COMPLETED",
                "peak_mem_mb": 900.0,
            }
            self._try("outcomes", lambda told=job | times: self.client.record([told]))
            time.sleep(OUTCOME_S)

    def _swap(self, models: Sequence[str]) -> None:
        for model_id in cycle(models):
            if time.monotonic() > self.until:
                return
            self._try("swaps of the model", lambda chosen=model_id: self.client.activate(chosen))
            time.sleep(SWAP_S)

    def _retrain(self) -> None:
        while time.monotonic() < self.until:
            try:
                begun = self.client.retrain()
                while (now := self.client.retraining(begun.id)).ended is None and time.monotonic() < self.until:
                    time.sleep(1)
                self.done[f"retrainings {now.state}"] += 1
            except ServiceError as error:
                self.done[f"retrainings FAILED ({error.status})"] += 1
            time.sleep(min(RETRAIN_PAUSE_S, max(0.0, self.until - time.monotonic())))

    def _watch(self) -> None:
        began = time.monotonic()
        while (now := time.monotonic()) < self.until:
            self.memory.append(((now - began) / 60, self.served.memory_mb()))
            time.sleep(min(10.0, self.seconds / 60))

    def _try(self, what: str, send: Callable[[], object]) -> None:
        try:
            send()
            self.done[what] += 1
        except ServiceError as error:
            self.done[f"{what} FAILED ({error.status})"] += 1


def _memory_line(memory: Sequence[tuple[float, float]]) -> str:
    minutes, mb = np.array(memory).T
    tenth = max(1, len(mb) // 10)
    half = len(mb) // 2
    slope = np.polyfit(minutes[half:], mb[half:], 1)[0] if len(mb) > 3 else np.nan
    return (
        f"- memory of the service: {mb[0]:.0f} MB at the start, {mb.max():.0f} at most, {mb[-tenth:].mean():.0f} in "
        f"the last tenth, {slope:+.2f} MB a minute over the second half"
    )


def _plot(memory: Sequence[tuple[float, float]]) -> None:
    from matplotlib.figure import Figure

    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "mixed-memory.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("minutes", "resident_mb"), *memory])
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*np.array(memory).T, color="#2a6f97")
    axes.set(xlabel="minutes", ylabel="resident memory, MB", title="The service under mixed load", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(FOLDER / "mixed-memory.svg")
