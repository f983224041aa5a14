"""Following the store: each run that ended comes once, whoever wrote it and however often."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crowdrun.data import store_follow
from crowdrun.data.store import JobStore


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobStore]:
    """A store of each kind; it may hold jobs of other tests."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql_url")
    with JobStore.open(url) as opened:
        yield opened


def job(name: str, tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"job_id": f"{tmp_path}/{name}", "submit_time": 1.0, "state": "COMPLETED", "peak_mem_mb": 5.0} | more


def news(store: JobStore, after: int, limit: int = 100) -> tuple[list[str], int]:
    found = store_follow.ended_after(store, after, limit)
    return [str(row["job_id"]).rpartition("/")[2] for row in found.jobs], found.position


def test_each_end_comes_once_in_the_order_of_writing(store: JobStore, tmp_path: Path) -> None:
    start = store_follow.position(store)
    store.add_rows([job("b", tmp_path), job("a", tmp_path)], source="test")
    names, position = news(store, start)
    assert names == ["b", "a"]
    store.add_rows([job("b", tmp_path), job("c", tmp_path)], source="again")
    names, position = news(store, position)
    assert names == ["c"]
    assert news(store, position) == ([], position)
    assert store_follow.position(store) == position


def test_a_run_comes_when_it_ends_and_not_again_when_more_becomes_known(store: JobStore, tmp_path: Path) -> None:
    position = store_follow.position(store)
    store.add_rows([job("a", tmp_path, state="RUNNING", peak_mem_mb=None)], source="test")
    names, position = news(store, position)
    assert names == []
    store.add_rows([job("a", tmp_path)], source="test")
    names, position = news(store, position)
    assert names == ["a"]
    store.add_rows([job("a", tmp_path, gpu_util=0.5)], source="test")
    names, position = news(store, position)
    assert names == []


def test_a_requeued_run_is_another_end(store: JobStore, tmp_path: Path) -> None:
    position = store_follow.position(store)
    store.add_rows([job("a", tmp_path, start_time=10.0), job("a", tmp_path, start_time=20.0)], source="test")
    assert news(store, position)[0] == ["a", "a"]


def test_a_limit_is_gone_on_from(store: JobStore, tmp_path: Path) -> None:
    position = store_follow.position(store)
    store.add_rows([job(str(number), tmp_path) for number in range(5)], source="test")
    seen = []
    while (found := store_follow.ended_after(store, position, 2)).jobs:
        assert len(found.jobs) <= 2
        seen += [row["job_id"] for row in found.jobs]
        position = found.position
    assert len(seen) == len(set(seen)) == 5
    assert not found.more
