"""The `swf` reader, on lines written here after the definition of the format."""

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.swf import SwfReader

HEADER = "; Version: 2.2\n; Computer: a cluster\n; UnixStartTime: 1000000000\n; MaxProcs: 128\n"
JOB = "1 100 20 3600 8 3500 262144 16 7200 524288 1 3 2 5 1 -1 -1 -1"


def read(log: str) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    return [row for t in SwfReader().read(io.BytesIO(log.encode()), report) for row in t.to_pylist()], report


def test_memory_is_per_processor_in_kb_and_times_are_counted_from_the_header() -> None:
    (job,), report = read(HEADER + JOB)
    assert {name: value for name, value in job.items() if value is not None} == {
        "job_id": "1",
        "user": "3",
        "group": "2",
        "partition": "1",
        "command": "5",
        "submit_time": 1000000100.0,
        "start_time": 1000000120.0,
        "end_time": 1000003720.0,
        "req_cpus": 16,
        "req_mem_mb": 8192.0,
        "timelimit_s": 7200.0,
        "state": "COMPLETED",
        "peak_mem_mb": 2048.0,
    }
    assert any("average" in sentence for sentence in report.advice)
    assert report.lines == 5


def test_minus_one_is_unknown_everywhere() -> None:
    (job,), _ = read(HEADER + "7 0" + " -1" * 16)
    assert {name for name, value in job.items() if value is not None} == {"job_id", "submit_time"}


def test_a_job_cancelled_in_the_queue_keeps_its_wait_and_has_no_run() -> None:
    (job,), _ = read(HEADER + "8 10 500 -1 -1 -1 -1 4 60 -1 5 1 1 -1 2 -1 -1 -1")
    assert (job["state"], job["end_time"], job["req_cpus"]) == ("CANCELLED", None, 4)


def test_the_parts_of_a_swapped_job_are_skipped_beside_its_summary() -> None:
    parts = [JOB.replace(" 524288 1 ", f" 524288 {status} ") for status in (2, 2, 3)]
    rows, report = read(HEADER + "\n".join([JOB, *parts]))
    assert len(rows) == 1
    assert report.skipped["part of a run"] == 3


def test_a_log_without_a_start_time_is_read_with_advice() -> None:
    (job,), report = read(JOB)
    assert job["submit_time"] == 100.0
    assert any("UnixStartTime" in sentence for sentence in report.advice)


def test_bad_lines_are_rejected_with_their_numbers() -> None:
    rows, report = read(HEADER + "1 2 3\n" + JOB + "\nx" + " 1" * 17)
    assert len(rows) == 1
    assert [(rejection.line, rejection.reason) for rejection in report.rejections] == [
        (5, "3 fields instead of 18"),
        (7, "line without a job number and a submit time"),
    ]


@pytest.mark.parametrize("log", [b"", b"; only a header\n", b"job_id,user\n1,ada\n", b"\xff\xfe\x00" * 100])
def test_a_log_of_another_format_is_an_error(log: bytes) -> None:
    with pytest.raises(LogFormatError, match="18 numbers"):
        list(SwfReader().read(io.BytesIO(log), ReadReport()))


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(log: bytes) -> None:
    with contextlib.suppress(LogError):
        list(SwfReader().read(io.BytesIO(log), ReadReport()))


@given(
    st.lists(
        st.one_of(st.integers(), st.floats(), st.text("0123456789.eE+-naif_", max_size=25)), min_size=18, max_size=18
    )
)
def test_no_numbers_crash_the_reader(values: list[object]) -> None:
    report = ReadReport()
    log = HEADER + JOB + "\n" + " ".join(map(str, values))
    for table in SwfReader().read(io.BytesIO(log.encode()), report):
        assert table.schema == SCHEMA
