"""The `table` reader: our own columns, CSV and Parquet."""

import contextlib
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import NAMES, SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.table import TableReader


def read(data: bytes | str) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    tables = list(TableReader().read(io.BytesIO(data.encode() if isinstance(data, str) else data), report))
    assert all(table.schema == SCHEMA for table in tables)
    return pa.concat_tables(tables).to_pylist() if tables else [], report


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def test_columns_come_in_any_subset_and_order() -> None:
    [row], report = read("peak_mem_mb,job_id,state\n12.5,7,COMPLETED\n")
    assert {name: value for name, value in row.items() if value is not None} == {
        "job_id": "7",
        "state": "COMPLETED",
        "peak_mem_mb": 12.5,
    }
    assert (report.lines, report.jobs) == (2, 1)


def test_unknown_columns_are_named_in_the_advice() -> None:
    [row], report = read("job_id,colour\n7,red\n")
    assert row["job_id"] == "7"
    assert "colour" in report.advice[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("req_gpus", "two"),
        ("req_gpus", "1.5"),
        ("req_cpus", "-1"),
        ("peak_mem_mb", "inf"),
        ("peak_mem_mb", "1_000"),
        ("submit_time", "2024-01-01"),
        ("gpu_util", "97"),
        ("state", "HAPPY"),
        ("job_id", ""),
    ],
)
def test_a_wrong_value_rejects_its_row_with_line_and_reason(column: str, value: str) -> None:
    header = ["job_id", *[name for name in NAMES if name in {column, "user"} and name != "job_id"]]
    good = {"job_id": "1", "user": "ada"}
    bad = {"job_id": "2", "user": "ada"} | {column: value}
    lines = [",".join(row.get(name, "") for name in header) for row in (good, bad, good | {"job_id": "3"})]
    rows, report = read("\n".join([",".join(header), *lines]))
    assert [row["job_id"] for row in rows] == ["1", "3"]
    [rejection] = report.rejections
    assert rejection.line == 3
    assert rejection.reason.startswith(("no job_id", column))


def test_nan_and_empty_are_unknown_and_whole_floats_are_integers() -> None:
    [row], report = read("job_id,req_gpus,peak_mem_mb,user\n1,4.0,NaN,\n")
    assert (row["req_gpus"], row["peak_mem_mb"], row["user"]) == (4, None, None)
    assert not report.rejected


def test_short_rows_broken_quotes_and_long_lines_are_rejected_by_line() -> None:
    text = 'job_id,user\n1,ada\n2\n3,"a"b\n4,"two\nlines"\n5,' + "x" * 1_000_000 + "\n6,ada\n"
    rows, report = read(text)
    assert [(row["job_id"], row["user"]) for row in rows] == [("1", "ada"), ("4", "two\nlines"), ("6", "ada")]
    assert [rejection.line for rejection in report.rejections] == [3, 4, 7]


def test_a_table_without_job_id_or_with_a_column_twice_is_another_format() -> None:
    for text in ("user,state\nada,COMPLETED\n", "job_id,user,user\n1,a,b\n", "hello", ""):
        with pytest.raises(LogFormatError, match="not a table"):
            read(text)


def test_parquet_of_other_types_is_read_and_its_wrong_values_rejected() -> None:
    table = pa.table(
        {
            "job_id": pa.array([1, 2, 3]),
            "user": pa.array(["ada", None, "bob"]).dictionary_encode(),
            "req_gpus": pa.array([1.0, float("nan"), -1.0]),
            "submit_time": pa.array([1, 2, 3], pa.int32()),
        }
    )
    rows, report = read(parquet(table))
    assert [(row["job_id"], row["user"], row["req_gpus"]) for row in rows] == [("1", "ada", 1), ("2", None, None)]
    assert [rejection.line for rejection in report.rejections] == [3]


def test_a_parquet_file_that_was_cut_is_an_error() -> None:
    data = parquet(pa.table({"job_id": ["1"] * 1000}))
    with pytest.raises(LogFormatError, match="not a whole Parquet file"):
        read(data[:-20])


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(noise: bytes) -> None:
    for data in (noise, b"job_id,user,state,peak_mem_mb\n" + noise, b"PAR1" + noise):
        with contextlib.suppress(LogError):
            read(data)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.text(max_size=8), min_size=29, max_size=29), max_size=5))
def test_no_values_crash_the_reader_and_none_is_lost(rows: list[list[str]]) -> None:
    table = pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(NAMES)}, pa.schema([(n, "string") for n in NAMES])
    )
    kept, report = read(parquet(table))
    assert len(kept) + report.rejected.total() == len(rows)
