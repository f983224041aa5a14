"""The service under load from a second process, beside an empty endpoint of the same server.

The load is `load.py`; the service is `crowdrun serve`, its crowd trained on a synthetic cluster. Each row is measured
right after the empty endpoint (/healthz) with as many connections. CPU is that of the service's processes. Mixed load
for a longer time: `bench_mixed.py`.
"""

import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from crowdrun.data.settings import Settings, load_settings
from tests.bench.served import BATCH, TRAINED, failed, prepare, serving

SECONDS = 4.0
CONNECTIONS = (1, 16, 64)
GOALS = "goals for one worker: p50 1.5 ms and p99 5 ms at one connection, 700 requests/s at 16, a batch 10,000 jobs/s"


def main() -> str:
    """The table, as markdown."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(environment={"CROWDRUN_HOME": folder})
        asked = prepare(settings)
        rows = [row for workers in (1, 2) for row in _steady(settings, workers, asked)]
    return "\n".join([
        "## The service under load", "",
        f"{platform.machine()}, {os.cpu_count()} processors for the service and the load, load average "
        f"{os.getloadavg()[0]:.1f} at the end; {TRAINED:,} jobs learnt; {SECONDS:g} s a row.", "",
        "| workers | connections | sent | p50, ms | p99, ms | requests/s | CPU a request, ms | empty: p50, ms "
        "| empty: p99, ms | empty: requests/s | not 200 |",
        "|---|---|---|---|---|---|---|---|---|---|---|", *rows, "", f"({GOALS}.)",
    ])  # fmt: skip


def _steady(settings: Settings, workers: int, asked: list[dict[str, Any]]) -> Iterator[str]:
    with serving(settings, workers) as served:
        served.load(connections=8, seconds=2, path="/v1/predict", body=asked[0])
        for name, body in (("one job", asked[0]), (f"{BATCH} jobs", asked)):
            for connections in CONNECTIONS:
                empty = served.load(connections=connections, seconds=SECONDS / 2, path="/healthz")
                before = served.cpu_s()
                told = served.load(connections=connections, seconds=SECONDS, path="/v1/predict", body=body)
                cpu_ms = (served.cpu_s() - before) * 1e3 / max(1, sum(told["statuses"].values()))
                cells = [workers, connections, name, *_cells(told), f"{cpu_ms:.2f}", *_cells(empty), failed(told)]
                yield f"| {' | '.join(map(str, cells))} |"


def _cells(told: Mapping[str, Any]) -> list[str]:
    times = told["latencies_ms"]
    return [f"{times['p50']:.2f}", f"{times['p99']:.2f}", f"{told['per_s']:,.0f}"]
