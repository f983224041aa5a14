"""The `nextflow` reader, on trace files written here in both their forms, and on public ones."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.columns import BY_NAME, SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.nextflow import NextflowReader
from crowdrun.data.sources.stream import open_log

RAW_HEADER = (
    "task_id,process,tag,name,status,exit,cpus,time,memory,attempt,submit,start,complete,queue,peak_rss,rchar,workdir"
)
RAW = (
    "T,FASTQC,s1,FASTQC (s1),S,X,2,14400000,4294967296,A,"
    "1719302359716,1719302573000,1719302586000,long,274485248,9,/w/4d"
)
PRETTY = (
    "task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\t%cpu\tpeak_rss\tmemory\ttime\tcpus\n"
    "7\tab/cd\t91\tALIGN (s 2)\tCOMPLETED\t0\t2024-06-25 07:59:19.716\t3m\t2m\t99.1%\t7.5 GB\t16 GB\t3h 2m\t4\n"
)


def task(task_id: str = "1", *, status: str = "COMPLETED", exit_code: str = "0", attempt: str = "1") -> str:
    return (
        RAW.replace("T,", f"{task_id},", 1).replace(",S,X,", f",{status},{exit_code},").replace(",A,", f",{attempt},")
    )


def read(log: str | bytes) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    stream = io.BytesIO(log if isinstance(log, bytes) else log.encode())
    return [row for table in NextflowReader().read(stream, report) for row in table.to_pylist()], report


def read_tasks(*tasks: str) -> tuple[list[dict[str, Any]], ReadReport]:
    return read("\n".join([RAW_HEADER, *tasks]))


def test_a_raw_trace_is_bytes_and_milliseconds() -> None:
    (job,), _ = read_tasks(task("216"))
    assert {name: value for name, value in job.items() if value is not None} == {
        "job_id": "216",
        "partition": "long",
        "job_name": "FASTQC (s1)",
        "command": "FASTQC",
        "work_dir": "/w/4d",
        "submit_time": 1719302359.716,
        "start_time": 1719302573.0,
        "end_time": 1719302586.0,
        "req_cpus": 2,
        "req_mem_mb": 4096.0,
        "timelimit_s": 14400.0,
        "state": "COMPLETED",
        "exit_code": "0",
        "peak_mem_mb": pytest.approx(261.769531),
    }


def test_a_tab_separated_trace_for_people_gives_the_same_units() -> None:
    (job,), report = read(PRETTY)
    assert (job["req_mem_mb"], job["peak_mem_mb"], job["timelimit_s"]) == (16384.0, 7680.0, 10920.0)
    assert (job["submit_time"], job["start_time"]) == (1719302359.716, None)
    assert (job["job_name"], job["command"]) == ("ALIGN (s 2)", "ALIGN")
    assert any("UTC" in sentence for sentence in report.advice)


@pytest.mark.parametrize(
    ("status", "exit_code", "state"),
    [
        ("COMPLETED", "0", "COMPLETED"),
        ("FAILED", "1", "FAILED"),
        ("FAILED", "137", "OUT_OF_MEMORY"),
        ("FAILED", "140", "TIMEOUT"),
        ("FAILED", "143", "CANCELLED"),
        ("FAILED", "-", "FAILED"),
        ("ABORTED", "-", "CANCELLED"),
    ],
)
def test_the_state_follows_from_status_and_exit(status: str, exit_code: str, state: str) -> None:
    (job,), _ = read_tasks(task(status=status, exit_code=exit_code))
    assert job["state"] == state


def test_a_task_killed_after_its_time_limit_ran_out_of_time_not_of_memory() -> None:
    (job,), _ = read_tasks(task(status="FAILED", exit_code="137").replace("14400000", "13000"))
    assert job["state"] == "TIMEOUT"


def test_cached_tasks_are_not_runs() -> None:
    rows, report = read_tasks(task("1", status="CACHED"), task("2"))
    assert [row["job_id"] for row in rows] == ["2"]
    assert report.skipped["cached task"] == 1


def test_a_later_attempt_has_an_id_of_its_own() -> None:
    rows, _ = read_tasks(task("5", status="FAILED", exit_code="137"), task("5", attempt="2"))
    assert [row["job_id"] for row in rows] == ["5", "5.2"]


def test_figures_known_only_after_the_run_reach_no_column_of_the_request() -> None:
    (one,), _ = read_tasks(task())
    changed = task().replace("1719302573000", "1719302574000").replace(",274485248,9,", ",999999999,123456,")
    (other,), _ = read_tasks(changed.replace(",COMPLETED,0,", ",FAILED,1,"))
    differing = {name for name in one if one[name] != other[name]}
    assert differing == {"start_time", "peak_mem_mb", "state", "exit_code"}
    assert not any(BY_NAME[name].at_submit for name in differing)


def test_bad_rows_are_rejected_with_their_numbers() -> None:
    rows, report = read_tasks("1,2", task("2"), task("3", status="ODD"), task("4").replace("1719302359716", "soon"))
    assert [row["job_id"] for row in rows] == ["2"]
    assert [rejection.line for rejection in report.rejections] == [2, 4, 5]


def test_an_unreadable_size_is_unknown_and_counted() -> None:
    (job,), report = read_tasks(task().replace("4294967296", "much"))
    assert job["req_mem_mb"] is None
    assert report.repaired["memory that cannot be read taken as unknown"] == 1


def test_a_quoted_field_may_hold_commas_and_line_ends() -> None:
    (job,), _ = read_tasks(task().replace("FASTQC (s1)", '"FASTQC (s1,\ns2)"'))
    assert job["job_name"] == "FASTQC (s1,s2)"


@pytest.mark.parametrize("log", [b"", b"job_id,user\n1,ada\n", b"\x1f\x00" * 500, b'"' * 5000])
def test_a_log_without_the_needed_columns_is_an_error(log: bytes) -> None:
    with pytest.raises(LogFormatError, match="task_id, status, submit"):
        read(log)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_crash_the_reader(noise: bytes, tabs: bool) -> None:
    for log in (noise, (PRETTY if tabs else RAW_HEADER + "\n").encode() + noise):
        with contextlib.suppress(LogError):
            read(log)


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]), max_size=30), min_size=17, max_size=17))
def test_no_values_crash_the_reader(values: list[str]) -> None:
    values[10] = "1719302359716"
    log = RAW_HEADER + "\n" + ",".join('"' + value.replace('"', '""') + '"' for value in values) + "\n" + task()
    for table in NextflowReader().read(io.BytesIO(log.encode()), ReadReport()):
        assert table.schema == SCHEMA


def test_every_task_of_the_public_traces_comes_out(traces: Path) -> None:
    tasks, measured = 0, 0
    for path in sorted((traces / "nextflow").glob("trace_*.csv.xz")):
        report = ReadReport()
        with open_log(path) as stream:
            rows = [row for table in NextflowReader().read(stream, report) for row in table.to_pylist()]
        assert len({row["job_id"] for row in rows}) == len(rows)
        assert not report.rejected
        tasks += len(rows)
        measured += sum(bool(row["peak_mem_mb"]) for row in rows)
    assert (tasks, measured) == (14_808, 14_730)
