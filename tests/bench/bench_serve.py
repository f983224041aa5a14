"""The service under load from a second process: beside an empty endpoint of the same server, and with model swaps.

The load is `load.py`; the service is `crowdrun serve`, its crowd trained on a synthetic cluster. Each row is measured
right after the empty endpoint (/healthz) with as many connections. CPU is that of the service's processes.

CROWDRUN_BENCH_MIXED_S sets how long the mixed load lasts: 1800 for half an hour.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from crowdrun.api.client import Client, Patience
from crowdrun.data import store_follow
from crowdrun.data.errors import ServiceError
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.bench.cluster_log import make_jobs

TRAINED = 6000
SECONDS = 4.0
CONNECTIONS = (1, 16, 64)
BATCH = 200
MIXED_S = float(os.environ.get("CROWDRUN_BENCH_MIXED_S", "60"))
#: Between two swaps of the model under the mixed load.
SWAP_S = 5.0
GOALS = "goals for one worker: p50 1.5 ms and p99 5 ms at one connection, 700 requests/s at 16, a batch 10,000 jobs/s"
OPEN = {"CROWDRUN_TRUST_LOCAL": "admin", "CROWDRUN_RATE_PER_S": "1e9"}


def main() -> str:
    """Both tables, as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environment={"CROWDRUN_HOME": folder})
        jobs = make_jobs(TRAINED + BATCH)
        _prepare(settings, jobs.iloc[:TRAINED])
        asked = [_asked(row) for row in jobs.iloc[TRAINED:].to_dict("records")]
        rows = [row for workers in (1, 2) for row in _steady(settings, workers, asked)]
        mixed = _mixed(settings, asked)
    return "\n".join([
        "## The service under load", "",
        f"{platform.machine()}, {os.cpu_count()} processors for the service and the load, load average "
        f"{os.getloadavg()[0]:.1f} at the end; {TRAINED:,} jobs learnt; {SECONDS:g} s a row.", "",
        "| workers | connections | sent | p50, ms | p99, ms | requests/s | CPU a request, ms | empty: p50, ms "
        "| empty: p99, ms | empty: requests/s | not 200 |",
        "|---|---|---|---|---|---|---|---|---|---|---|", *rows, "", f"({GOALS}.)", "", *mixed,
    ])  # fmt: skip


def _prepare(settings: Settings, jobs: Any) -> None:
    """A home whose store holds the jobs, and two models to swap."""
    crowd = Crowd.train(jobs)
    with JobStore.open(settings.store) as store:
        store.add(pa.Table.from_pandas(jobs, preserve_index=False), source="bench")
        position = store_follow.position(store)
    for _ in range(2):
        registry.publish(crowd, settings.models_dir, store_position=position)


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("user", "partition", "job_name", "command", "submit_time", "req_cpus", "req_mem_mb", "timelimit_s")
    return {name: row[name] for name in names if row.get(name) is not None and row[name] == row[name]}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running service."""

    process: psutil.Process
    port: int

    def all_processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.all_processes())

    def memory_mb(self) -> float:
        """Of the process that answers, not of the retraining beside it."""
        return float(self.process.memory_info().rss / 2**20)

    def load(self, **what: Any) -> dict[str, Any]:
        told = json.dumps({"host": "127.0.0.1", "port": self.port, **what})
        command = [sys.executable, "-m", "tests.bench.load"]
        output = subprocess.run(command, input=told, stdout=subprocess.PIPE, check=True, text=True).stdout
        found: dict[str, Any] = json.loads(output)
        return found


@contextmanager
def _serving(settings: Settings, workers: int) -> Iterator[Served]:
    command = [sys.executable, "-m", "crowdrun.api", "serve", "--port", "0", "--workers", str(workers)]
    environment = {**os.environ, **OPEN, "CROWDRUN_HOME": str(settings.home), "OMP_NUM_THREADS": "1"}
    log = settings.home / "service.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([*command], env=environment, stderr=output, stdout=output) as process,
    ):
        try:
            while "serves on" not in log.read_text():
                time.sleep(0.1)
            port = int(log.read_text().partition("serves on ")[2].split()[0].rpartition(":")[2])
            with Client(f"http://127.0.0.1:{port}", patience=Patience(attempts=50, retry_reserve=50)) as client:
                client.model()
            yield Served(process=psutil.Process(process.pid), port=port)
        finally:
            process.send_signal(signal.SIGTERM)


def _steady(settings: Settings, workers: int, asked: list[dict[str, Any]]) -> Iterator[str]:
    with _serving(settings, workers) as served:
        served.load(connections=8, seconds=2, path="/v1/predict", body=asked[0])
        for name, body in (("one job", asked[0]), (f"{BATCH} jobs", asked)):
            for connections in CONNECTIONS:
                empty = served.load(connections=connections, seconds=SECONDS / 2, path="/healthz")
                before = served.cpu_s()
                told = served.load(connections=connections, seconds=SECONDS, path="/v1/predict", body=body)
                cpu_ms = (served.cpu_s() - before) * 1e3 / max(1, sum(told["statuses"].values()))
                cells = [workers, connections, name, *_cells(told), f"{cpu_ms:.2f}", *_cells(empty), _failed(told)]
                yield f"| {' | '.join(map(str, cells))} |"


def _cells(told: Mapping[str, Any]) -> list[str]:
    times = told["latencies_ms"]
    return [f"{times['p50']:.2f}", f"{times['p99']:.2f}", f"{told['per_s']:,.0f}"]


def _failed(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{number}x {status}" for status, number in told["statuses"].items() if status != "200") or "none"


def _mixed(settings: Settings, asked: list[dict[str, Any]]) -> list[str]:
    """Predictions, batches, outcomes, swaps of the model and one retraining at once."""
    done: Counter[str] = Counter()
    memory: list[float] = []
    with (
        _serving(settings, 1) as served,
        Client(f"http://127.0.0.1:{served.port}", patience=Patience(attempts=1)) as client,
    ):
        until = time.monotonic() + MIXED_S
        loads = [("one job", 8, asked[0]), ("50 jobs", 2, asked[:50])]
        results: dict[str, dict[str, Any]] = {}

        def drive(name: str, connections: int, body: Any) -> None:
            results[name] = served.load(connections=connections, seconds=MIXED_S, path="/v1/predict", body=body)

        threads = [threading.Thread(target=drive, args=load) for load in loads]
        threads.append(threading.Thread(target=_tell_outcomes, args=(client, until, done)))
        threads.append(threading.Thread(target=_swap, args=(client, settings.models_dir, until, done)))
        for thread in threads:
            thread.start()
        begun = client.retrain()
        while time.monotonic() < until:
            memory.append(served.memory_mb())
            time.sleep(1)
        for thread in threads:
            thread.join()
        retraining = client.retraining(begun.id)
    lines = [
        f"Mixed load, {MIXED_S:g} s, one worker, a retraining beside it ({retraining.state}, {retraining.share:.0%}):",
        "",
    ]
    lines += [
        f"- {name}: {sum(told['statuses'].values()):,} requests, p50 {told['latencies_ms']['p50']:.2f} ms, "
        f"p99 {told['latencies_ms']['p99']:.2f} ms, not 200: {_failed(told)}"
        for name, told in results.items()
    ]
    tenth = max(1, len(memory) // 10)
    lines.append(f"- {', '.join(f'{number:,} {what}' for what, number in sorted(done.items()))}")
    lines.append(
        f"- memory of the service: {memory[0]:.0f} MB at the start, {max(memory):.0f} at most, "
        f"{sum(memory[-tenth:]) / tenth:.0f} in the last tenth"
    )
    return lines


def _tell_outcomes(client: Client, until: float, done: Counter[str]) -> None:
    for number in count():
        if time.monotonic() > until:
            return
        times = {"submit_time": 1.9e9 + number, "start_time": 1.9e9 + number, "end_time": 1.9e9 + number + 60}
        job = {"job_id": f"bench-{number}", "user": f"user{number % 20}", "state": "COMPLETED", "peak_mem_mb": 900.0}
        try:
            client.record([job | times])
            done["outcomes told"] += 1
        except ServiceError:
            done["outcomes FAILED"] += 1
        time.sleep(0.05)


def _swap(client: Client, models_dir: Path, until: float, done: Counter[str]) -> None:
    for model_id in cycle(registry.list_models(models_dir)):
        if time.monotonic() > until:
            return
        try:
            client.activate(model_id)
            done["swaps of the model"] += 1
        except ServiceError:
            done["swaps FAILED"] += 1
        time.sleep(SWAP_S)
