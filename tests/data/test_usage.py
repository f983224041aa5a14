"""What the database sums up is what the labels say, job by job."""

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA
from crowdrun.data.labels import believable_request_mb, label_jobs
from crowdrun.data.reading import load_jobs
from crowdrun.data.store import JobStore
from crowdrun.data.stretches import DAY_S
from crowdrun.data.usage import DIMENSIONS, OTHER, Usage

JOB = {
    "job_id": "1", "user": "ada", "account": "physics", "partition": "gpu", "submit_time": 0.0, "start_time": 10.0,
    "end_time": 3610.0, "req_mem_mb": 4096.0, "peak_mem_mb": 1024.0, "state": "COMPLETED",
}  # fmt: skip
Stored = Callable[[list[dict[str, Any]]], JobStore]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """A store with these jobs."""

    def make(jobs: list[dict[str, Any]]) -> JobStore:
        store = JobStore.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
        store.add_rows(jobs, source="test")
        return store

    return make


def by_labels(jobs: pd.DataFrame) -> tuple[int, float, float]:
    """Judged jobs, GB·h asked for and wasted, from `labels.py`."""
    labels = label_jobs(jobs)
    asked, hours = believable_request_mb(jobs), (jobs["end_time"] - jobs["start_time"]).to_numpy() / 3600
    died = (jobs["state"] == "OUT_OF_MEMORY").to_numpy() & (asked > 0) & (hours >= 0)
    judged = died | ((labels["mem_label"] == "measured").to_numpy() & (asked > 0))
    used = pd.Series(jobs["peak_mem_mb"]).where(~died, 0.0).clip(upper=pd.Series(asked, index=jobs.index)).to_numpy()
    return int(judged.sum()), (asked * hours)[judged].sum() / 1024, ((asked - used) * hours)[judged].sum() / 1024


def test_the_sums_over_the_sample_log_are_those_of_the_labels(tmp_path: Path) -> None:
    with as_file(files("crowdrun.data.samples") / "training-jobs.sacct.xz") as log:
        jobs = load_jobs([log])
    with JobStore.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        store.add(pa.Table.from_pandas(jobs, schema=SCHEMA, preserve_index=False), source="test")
        total = Usage.of(store).total
    judged, asked, wasted = by_labels(jobs)
    assert judged > 400
    assert (total["judged"], total["asked_gbh"], total["wasted_gbh"]) == pytest.approx((judged, asked, wasted))


def test_every_way_to_cut_it_has_the_same_sum(stored: Stored) -> None:
    jobs = [JOB | {"job_id": str(number), "user": f"user{number % 5}"} for number in range(40)]
    usage = Usage.of(stored([*jobs, JOB | {"job_id": "x", "user": None, "account": None}]))
    for dimension in DIMENSIONS:
        rows = usage.by(dimension)
        over_time = usage.over_time(dimension, [row["name"] for row in rows[:2]])
        for cut in (rows, over_time):
            assert sum(row["wasted_gbh"] for row in cut) == pytest.approx(usage.total["wasted_gbh"])
    assert {row["name"] for row in usage.over_time("user", ["user1", None])} == {"user1", None, OTHER}


def test_unused_memory_is_wasted_and_all_of_it_where_a_job_died_for_want_of_it(stored: Stored) -> None:
    died = JOB | {"job_id": "2", "state": "OUT_OF_MEMORY"}
    total = Usage.of(stored([JOB, died])).total
    assert (total["judged"], total["wasted_gbh"], total["out_of_memory"]) == (2, 3.0 + 4.0, 1)


@pytest.mark.parametrize(
    "odd",
    [
        {"peak_mem_mb": None},
        {"peak_mem_mb": 0.0},
        {"req_mem_mb": None},
        {"req_mem_mb": 2147486648.0},
        {"end_time": 15.0},
        {"submit_time": 50.0},
    ],
)
def test_a_job_that_cannot_be_judged_is_counted_and_wastes_nothing(stored: Stored, odd: dict[str, Any]) -> None:
    total = Usage.of(stored([JOB | odd])).total
    assert (total["jobs"], total["judged"], total["asked_gbh"], total["wasted_gbh"]) == (1, 0, 0, 0)


def test_a_gpu_is_idle_where_its_utilisation_is_known_and_only_there(stored: Stored) -> None:
    known, unknown = JOB | {"alloc_gpus": 2, "gpu_util": 0.25}, JOB | {"job_id": "2", "alloc_gpus": 4}
    total = Usage.of(stored([known, unknown])).total
    assert (total["gpu_jobs"], total["held_gpuh"], total["judged_gpuh"], total["idle_gpuh"]) == (2, 6.0, 2.0, 1.5)


def test_of_a_run_that_is_told_of_twice_the_newest_version_counts(stored: Stored) -> None:
    begun = {name: value for name, value in JOB.items() if name not in {"end_time", "peak_mem_mb"}}
    assert Usage.of(stored([begun | {"state": "RUNNING"}, JOB])).total["jobs"] == 1


def test_one_user_alone_and_one_stretch_of_time_alone(stored: Stored) -> None:
    store = stored([JOB, JOB | {"job_id": "2", "user": "bob", "end_time": 9 * DAY_S}])
    assert [row["name"] for row in Usage.of(store, user="bob").by("user")] == ["bob"]
    assert [row["name"] for row in Usage.of(store, since=DAY_S).by("user")] == ["bob"]


def test_a_stretch_of_time_is_as_long_as_the_log_asks_for(stored: Stored) -> None:
    usage = Usage.of(stored([JOB, JOB | {"job_id": "2", "end_time": 200.0 * DAY_S}]))
    assert usage.stretch_s == 7 * DAY_S
    assert [row["start"] for row in usage.over_time("user", ["ada"])] == [0, 196 * DAY_S]


def test_an_empty_store_has_used_nothing(stored: Stored) -> None:
    usage = Usage.of(stored([]))
    assert usage.total["jobs"] == usage.total["wasted_gbh"] == 0
    assert usage.by("user") == usage.over_time("user", []) == []


def test_postgresql_sums_up_the_same(stored: Stored, postgresql_url: str) -> None:
    jobs = [JOB | {"job_id": str(number), "end_time": 3610.0 + 1799 * number} for number in range(30)]
    with JobStore.open(postgresql_url) as store:
        store.add_rows([job | {"user": "of the usage test"} for job in jobs], source="test")
        there = Usage.of(store, user="of the usage test")
    here = Usage.of(stored(jobs))
    assert there.over_time("account", ["physics"]) == here.over_time("account", ["physics"])
