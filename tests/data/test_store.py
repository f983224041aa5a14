"""The job history: one contract that every backend passes, with real processes and a real PostgreSQL server."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crowdrun.data.columns import NAMES, SCHEMA
from crowdrun.data.errors import StoreError
from crowdrun.data.store import BLOCK_ROWS, AddReport, JobStore

#: A process that adds jobs FIRST to LAST, one table of 1000 a block, and says when it begins.
WRITER = """
import sys
import pyarrow as pa
from crowdrun.data import store
from crowdrun.data.columns import SCHEMA
url, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store.BLOCK_ROWS = 1000
rows = [{"job_id": str(n), "user": f"user{n % 7}", "submit_time": float(n), "start_time": n + 5.0, "state": "COMPLETED",
         "peak_mem_mb": n * 1.5} for n in range(first, last)]
with store.JobStore.open(url) as history:
    print("begun", flush=True)
    report = history.add(pa.Table.from_pylist(rows, schema=SCHEMA), source="writer")
    print(report.new, report.known, flush=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/folder/store.sqlite"
        return
    server = request.getfixturevalue("postgresql_url")
    engine = sa.create_engine(sa.make_url(server).set(drivername="postgresql+psycopg"))
    schema = f"test_{uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    yield f"{server}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    with JobStore.open(url) as opened:
        yield opened


def job(job_id: str = "1", **values: Any) -> dict[str, Any]:
    return {"job_id": job_id, "submit_time": 100.0, **values}


def writer(url: str, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class TestEveryStore:
    """What holds whatever the database."""

    def test_every_column_comes_back_as_it_was(self, store: JobStore) -> None:
        values: dict[str, Any] = {
            field.name: {pa.string(): f"{field.name} é |\n", pa.int64(): 2**40, pa.float64(): 0.1}[field.type]
            for field in SCHEMA
        }
        store.add_rows([values], source="test")
        assert store.get(values["job_id"]) == [values]
        assert store.jobs().iloc[0].to_dict() == values

    def test_jobs_are_in_order_of_submission_with_the_canonical_columns(self, store: JobStore) -> None:
        rows = [job(str(n), submit_time=float(n * 7 % 10)) for n in range(10)]
        store.add_rows([*rows, {"job_id": "no time"}], source="test")
        jobs = store.jobs()
        assert tuple(jobs.columns) == NAMES
        assert list(jobs["submit_time"][:10]) == sorted(range(10))
        assert jobs["job_id"].iloc[10] == "no time"
        assert list(store.jobs(since=7.0)["submit_time"]) == [7.0, 8.0, 9.0]

    def test_an_empty_store_gives_an_empty_table_with_all_columns(self, store: JobStore) -> None:
        assert store.jobs().shape == (0, len(NAMES))
        assert store.count() == 0
        assert store.get("1") == []

    def test_adding_the_same_rows_again_changes_nothing(self, store: JobStore) -> None:
        table = pa.Table.from_pylist([job(str(n), start_time=200.0) for n in range(BLOCK_ROWS + 10)], schema=SCHEMA)
        assert store.add(table, source="a") == AddReport(new=BLOCK_ROWS + 10)
        before = store.jobs()
        assert store.add([table, table.slice(0, 5)], source="b") == AddReport(known=BLOCK_ROWS + 15)
        assert store.jobs().equals(before)

    def test_an_outcome_that_was_unknown_extends_the_run(self, store: JobStore) -> None:
        store.add_rows([job(start_time=150.0, state="RUNNING", model="resnet18")], source="runner")
        report = store.add_rows([job(start_time=150.0, state="COMPLETED", peak_mem_mb=900.0)], source="log")
        assert report == AddReport(new=1, extended=1)
        (run,) = store.get("1")
        assert (run["state"], run["peak_mem_mb"], run["model"]) == ("COMPLETED", 900.0, "resnet18")
        assert store.count() == 1

    def test_a_row_that_knows_less_or_otherwise_replaces_nothing(self, store: JobStore) -> None:
        store.add_rows([job(start_time=150.0, state="COMPLETED", peak_mem_mb=900.0)], source="log")
        late = [job(start_time=150.0, state="RUNNING"), job(start_time=150.0, peak_mem_mb=1.0), job(state="PENDING")]
        assert store.add_rows(late, source="late") == AddReport(known=3)
        (run,) = store.get("1")
        assert (run["state"], run["peak_mem_mb"]) == ("COMPLETED", 900.0)

    def test_a_late_request_fills_the_gaps_of_a_run_that_has_ended(self, store: JobStore) -> None:
        store.add_rows([job(start_time=150.0, state="COMPLETED")], source="log")
        assert store.add_rows([job(state="PENDING", model="vgg11")], source="service").extended == 1
        (run,) = store.get("1")
        assert (run["state"], run["model"], run["start_time"]) == ("COMPLETED", "vgg11", 150.0)

    def test_a_submission_is_completed_by_its_first_start_and_a_requeue_is_a_run_of_its_own(
        self, store: JobStore
    ) -> None:
        store.add_rows([job(state="PENDING", user="ada")], source="service")
        runs = [job(start_time=150.0, state="REQUEUED"), job(start_time=300.0, state="COMPLETED")]
        assert store.add_rows(runs, source="log") == AddReport(new=2, extended=1)
        assert store.add_rows(runs, source="log") == AddReport(known=2)
        found = [(run["start_time"], run["state"], run["user"]) for run in store.get("1")]
        assert found == [(150.0, "REQUEUED", "ada"), (300.0, "COMPLETED", None)]
        assert (store.count(), len(store.jobs())) == (2, 2)

    def test_an_id_that_was_used_again_is_another_job(self, store: JobStore) -> None:
        store.add_rows([job(submit_time=100.0), job(submit_time=9000.0)], source="log")
        assert [run["submit_time"] for run in store.get("1")] == [100.0, 9000.0]

    def test_nan_is_unknown_and_odd_text_is_kept(self, store: JobStore) -> None:
        long = "x" * 200_000
        store.add_rows([job(long, job_name="a\x00b", peak_mem_mb=float("nan"), user="'); drop table")], source="t")
        (run,) = store.get(long)
        assert (run["job_name"], run["peak_mem_mb"], run["user"]) == ("a\\x00b", None, "'); drop table")

    def test_columns_that_a_table_lacks_are_unknown(self, store: JobStore) -> None:
        store.add(pa.table({"job_id": ["1"], "req_cpus": pa.array([4], pa.int32())}), source="test")
        assert store.get("1")[0]["req_cpus"] == 4

    def test_rows_that_cannot_be_stored_are_refused_and_the_rest_stays(self, store: JobStore) -> None:
        store.add_rows([job()], source="good")
        with pytest.raises(StoreError, match="no job_id"):
            store.add_rows([{"user": "ada"}], source="bad")
        with pytest.raises(StoreError, match="not of its column's kind"):
            store.add_rows([job("2", req_cpus="four")], source="bad")
        with pytest.raises(StoreError, match="req_cpus of bad cannot be stored"):
            store.add(pa.table({"job_id": ["2"], "req_cpus": ["four"]}), source="bad")
        assert store.count() == 1

    def test_a_store_that_was_closed_is_there_when_opened_again(self, url: str) -> None:
        for expected in (AddReport(new=1), AddReport(known=1)):
            with JobStore.open(url) as opened:
                assert opened.add_rows([job()], source="test") == expected

    def test_a_store_of_another_version_is_refused_with_what_to_do(self, url: str, store: JobStore) -> None:
        with store.engine.begin() as connection:
            connection.execute(sa.text("UPDATE crowdrun_schema SET version = 99"))
        with pytest.raises(StoreError, match=r"version 99.*reads and writes version 1.*name another store"):
            JobStore.open(url)

    def test_two_processes_write_at_once_and_nothing_is_lost_or_doubled(self, url: str, store: JobStore) -> None:
        processes = [writer(url, 0, 12_000), writer(url, 6_000, 18_000)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        counts = [[int(number) for number in output.split()[1:]] for output, _ in outputs]
        assert sum(new for new, _ in counts) == 18_000
        assert sum(known for _, known in counts) == 6_000
        assert sorted(map(int, store.jobs()["job_id"])) == list(range(18_000))

    def test_two_processes_may_make_the_store_at_once(self, url: str) -> None:
        processes = [writer(url, 0, 10), writer(url, 10, 20)]
        outputs = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        with JobStore.open(url) as opened:
            assert opened.count() == 20

    def test_a_writer_killed_at_any_moment_leaves_whole_blocks_and_the_next_goes_on(self, url: str) -> None:
        moments, stored = random.Random(7), 0
        for _ in range(5):
            process = writer(url, 0, 30_000)
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline() == "begun\n", process.stderr.read()
            time.sleep(moments.uniform(0.0, 0.8))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            with JobStore.open(url) as opened:
                before, stored = stored, opened.count()
                jobs = opened.jobs()
            assert stored >= before
            assert stored % 1000 == 0
            assert [float(job_id) for job_id in jobs["job_id"]] == list(jobs["submit_time"])
            if url.startswith("sqlite"):
                check_integrity(url)
        process = writer(url, 0, 30_000)
        output, errors = process.communicate(timeout=120)
        assert output.split()[1:] == [str(30_000 - stored), str(stored)], errors
        with JobStore.open(url) as opened:
            assert opened.count() == 30_000
            assert list(opened.jobs()["peak_mem_mb"]) == [n * 1.5 for n in range(30_000)]


def check_integrity(url: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"a small file system needs root and the right to mount: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_what_was_stored_stays(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/store.sqlite"
    table = pa.Table.from_pylist([job(str(n), command="x" * 500) for n in range(200)], schema=SCHEMA)
    with JobStore.open(url) as store:
        store.add(table, source="fits")
        more = pa.Table.from_pylist([job(f"b{n}", command="y" * 500) for n in range(5000)], schema=SCHEMA)
        with pytest.raises(StoreError, match="what was stored before stays"):
            store.add(more, source="too much")
        assert store.count() == 200
    with JobStore.open(url) as store:
        assert store.jobs()["command"].str.len().sum() == 200 * 500
        assert store.add(table, source="again") == AddReport(known=200)
    check_integrity(url)


def test_a_disk_that_is_full_from_the_start_is_an_error(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(2**20 - 4096))
    with pytest.raises(StoreError, match="store"):
        JobStore.open(f"sqlite:///{small_disk}/store.sqlite")


def test_a_file_that_another_process_holds_while_it_is_made_is_waited_for(tmp_path: Path) -> None:
    # SQLite does not wait by itself when the journal is changed and another one is about to write.
    file = tmp_path / "store.sqlite"
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, holder.rollback)
    release.start()
    with JobStore.open(f"sqlite:///{file}") as store:
        assert store.add_rows([job()], source="test").new == 1
    release.join()
    holder.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\x1f\x8b" + bytes(5000)])
def test_a_file_that_is_not_a_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "jobs.csv"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"not a database.*name another with --store"):
        JobStore.open(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"something else.*bookmarks"):
        JobStore.open(f"sqlite:///{file}")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the store's folder"):
        JobStore.open(f"sqlite:///{tmp_path}/file/store.sqlite")


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "://"])
def test_an_address_that_cannot_be_a_store_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:////absolute/path/FILE or postgresql://"):
        JobStore.open(url)


def test_a_server_that_does_not_answer_is_an_error_that_hides_the_password() -> None:
    with pytest.raises(StoreError, match="Look whether the PostgreSQL server runs") as caught:
        JobStore.open("postgresql://ada:secret@127.0.0.1:9/jobs")
    assert "secret" not in str(caught.value)
