"""`crowdrun serve` for a bench: a home with a crowd that learnt a synthetic cluster, the process, and its load."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pyarrow as pa

from crowdrun.api.client import Client, Patience
from crowdrun.data import store_follow
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.bench.cluster_log import make_jobs

TRAINED = 6000
BATCH = 200
OPEN = {"CROWDRUN_TRUST_LOCAL": "admin", "CROWDRUN_RATE_PER_S": "1e9"}


def prepare(settings: Settings) -> list[dict[str, Any]]:
    """Make a home whose store holds TRAINED jobs, with two models to swap; return BATCH requests that come later."""
    jobs = make_jobs(TRAINED + BATCH)
    learnt = jobs.iloc[:TRAINED]
    crowd = Crowd.train(learnt)
    with JobStore.open(settings.store) as store:
        store.add(pa.Table.from_pandas(learnt, preserve_index=False), source="bench")
        position = store_follow.position(store)
    for _ in range(2):
        registry.publish(crowd, settings.models_dir, store_position=position)
    return [_asked(row) for row in jobs.iloc[TRAINED:].to_dict("records")]


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("user", "partition", "job_name", "command", "submit_time", "req_cpus", "req_mem_mb", "timelimit_s")
    return {name: row[name] for name in names if row.get(name) is not None and row[name] == row[name]}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running service."""

    process: psutil.Process
    port: int

    def cpu_s(self) -> float:
        every = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in every)

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
def serving(settings: Settings, workers: int) -> Iterator[Served]:
    """The service, once it answers from a model."""
    command = [sys.executable, "-m", "crowdrun.api", "serve", "--port", "0", "--workers", str(workers)]
    environment = {**os.environ, **OPEN, "CROWDRUN_HOME": str(settings.home)}
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


def failed(told: Mapping[str, Any]) -> str:
    """How many answers were others than 200."""
    statuses: Counter[str] = Counter(told["statuses"])
    return ", ".join(f"{number}x {status}" for status, number in statuses.items() if status != "200") or "none"
