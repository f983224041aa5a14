"""Finding runs in the job history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdrun.data.job_search import PAGE_ROWS, Search, find
from crowdrun.data.store import JobStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """120 jobs of two users, a minute apart."""
    with JobStore.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        store.add_rows(
            [
                {
                    "job_id": str(number), "user": ("ada", "bob")[number % 2], "account": "physics",
                    "job_name": f"Train_{number}", "state": "FAILED" if number % 10 == 0 else "COMPLETED",
                    "submit_time": 60.0 * number, "start_time": 60.0 * number, "end_time": 60.0 * number + 3600,
                    "req_mem_mb": 8192.0, "peak_mem_mb": 100.0 + number,
                }
                for number in range(120)
            ],
            source="test",
        )  # fmt: skip
        yield store


def ids(store: JobStore, page: int = 1, **search: object) -> list[str]:
    return [job["job_id"] for job in find(store, Search(**search), page=page).jobs]  # type: ignore[arg-type]


def test_pages_hold_fifty_runs_the_newest_first_and_together_all_of_them(store: JobStore) -> None:
    pages = [ids(store, page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [PAGE_ROWS, PAGE_ROWS, 20, 0]
    assert [job_id for page in pages for job_id in page] == [str(number) for number in range(119, -1, -1)]
    found = find(store, Search())
    assert (found.total, found.pages) == (120, 3)


def test_every_condition_narrows_it(store: JobStore) -> None:
    assert ids(store, user="ada", state="FAILED", since=60.0 * 20, until=60.0 * 41) == ["40", "30", "20"]
    assert ids(store, job_id="7", account="physics") == ["7"]
    assert ids(store, account="biology") == ids(store, partition="gpu") == []


def test_a_part_of_a_name_is_enough_and_signs_of_patterns_mean_themselves(store: JobStore) -> None:
    assert ids(store, name="train_11", order="most wasted")[0] == "11"
    assert ids(store, name="train%") == ids(store, name="rain?1") == []


def test_what_wasted_most_can_come_first(store: JobStore) -> None:
    assert ids(store, order="most wasted")[:3] == ["0", "1", "2"]


def test_nothing_is_found_in_an_empty_store(tmp_path: Path) -> None:
    with JobStore.open(f"sqlite:///{tmp_path / 'empty.sqlite'}") as store:
        found = find(store, Search())
    assert (found.jobs, found.total, found.pages) == ([], 0, 1)
