"""The `lsf` reader, on records written here in the layout of `lsb.acct` 10.1."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.lsf import TERMINATION, LsfReader
from crowdrun.data.states import STATES


def record(
    *,
    job_id: int = 812,
    asked: tuple[str, ...] = (),
    hosts: tuple[str, ...] | None = ("n1", "n1"),
    status: int = 64,
    name: str = "train[1-4]",
    command: str = 'python train.py --tag "a b"',
    start: int = 1527326746,
    exit_status: int = 0,
    index: int = 0,
    max_rmem: int = 2097152,
    exit_info: int = 0,
    host_rusage: tuple[tuple[str, int], ...] = (),
    run_limit: int = 3600,
    requirement: str = "select[type == any] order[r15s:pg] rusage[mem=4000.00,ngpus_physical=1.00] span[hosts=1]",
) -> str:
    """One JOB_FINISH record; strings quoted, quotes in them doubled."""

    def quoted(*texts: str) -> list[str]:
        return ['"' + text.replace('"', '""') + '"' for text in texts]

    fields = [
        *quoted("JOB_FINISH", "10.1"),
        *f"1527327585 {job_id} 1000 33554438 {len(hosts or ('',))} 1527326745 0 0 {start}".split(),
        *quoted("ada", "gpu", "select[x]", "", "", "login1", "/home/ada/nets", "", "out.txt", "", "152/812"),
        *[str(len(asked)), *quoted(*asked)],
        *([str(len(hosts)), *quoted(*hosts)] if hosts is not None else []),
        *[str(status), "60.0", *quoted(name, command)],
        *["12.5", "1.5", *["-1"] * 17],
        *[*quoted("", "vision"), str(exit_status), "1", *quoted("", ""), str(index), str(max_rmem), "0"],
        *[*quoted("", "", "", "gold"), "0", '""', str(exit_info), '""', "-1", *quoted("/ada", "", "", ""), "-1"],
        *[*quoted("", ""), "5136", '""', "1527326746", *quoted("", "")],
        *["2", "1032", '"0"', "1033", '"0"'],
        *[str(len(host_rusage)), *(part for host, kb in host_rusage for part in (f'"{host}"', str(kb), "0", "1", "1"))],
        *["0", str(run_limit), "2048", *quoted(requirement, ""), "-1", '""', "-1", "0", '""', "0", "0"],
    ]
    return " ".join(fields)


def read(*lines: str) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    log = io.BytesIO("\n".join(lines).encode())
    return [row for table in LsfReader().read(log, report) for row in table.to_pylist()], report


def test_a_record_gives_every_figure_in_our_units() -> None:
    (job,), report = read(record())
    assert {name: value for name, value in job.items() if value is not None} == {
        "job_id": "812",
        "user": "ada",
        "account": "vision",
        "partition": "gpu",
        "qos": "gold",
        "job_name": "train[1-4]",
        "command": 'python train.py --tag "a b"',
        "work_dir": "/home/ada/nets",
        "submit_time": 1527326745.0,
        "start_time": 1527326746.0,
        "end_time": 1527327585.0,
        "req_nodes": 1,
        "req_cpus": 2,
        "req_mem_mb": 4000.0,
        "req_gpus": 1,
        "timelimit_s": 3600.0,
        "state": "COMPLETED",
        "exit_code": "0:0",
        "peak_mem_mb": 2048.0,
    }
    assert (report.lines, report.jobs) == (1, 1)


def test_lists_of_hosts_shift_the_fields_behind_them() -> None:
    (job,), _ = read(record(asked=("n1", "n2", "n3"), hosts=("n1", "n2"), index=7))
    assert (job["job_id"], job["state"], job["partition"], job["peak_mem_mb"]) == ("812_7", "COMPLETED", "gpu", 2048.0)


def test_a_record_that_leaves_its_execution_hosts_out_is_read() -> None:
    (job,), _ = read(record(asked=("n1",), hosts=None, status=32, exit_status=65280))
    assert (job["state"], job["exit_code"], job["job_name"]) == ("FAILED", "255:0", "train[1-4]")


def test_memory_is_reserved_on_every_host_unless_it_says_per_task_or_per_job() -> None:
    for suffix, mem_mb in (("", 2000.0), ("/task", 3000.0), ("/job", 1000.0)):
        (job,), _ = read(record(hosts=("2*n1", "1*n2", "n2"), requirement=f"rusage[mem=1000.00{suffix}]"))
        assert job["req_mem_mb"] == mem_mb


def test_the_usage_of_all_hosts_together_counts_when_it_is_larger() -> None:
    (job,), _ = read(record(hosts=("n1", "n2"), max_rmem=1048576, host_rusage=(("n1", 1048576), ("n2", 524288))))
    assert job["peak_mem_mb"] == 1536.0


@pytest.mark.parametrize(
    ("exit_info", "state"), [(16, "OUT_OF_MEMORY"), (5, "TIMEOUT"), (14, "CANCELLED"), (0, "FAILED")]
)
def test_the_state_of_an_exited_job_is_its_termination_reason(exit_info: int, state: str) -> None:
    (job,), _ = read(record(status=32, exit_status=137, exit_info=exit_info))
    assert (job["state"], job["exit_code"]) == (state, "0:9")


def test_every_state_of_the_termination_table_is_one_of_ours() -> None:
    assert set(TERMINATION.values()) <= STATES.keys()


def test_a_job_that_never_started_has_no_start_and_no_peak() -> None:
    (job,), _ = read(record(status=32, start=0, hosts=(), max_rmem=-1, exit_info=14))
    assert (job["start_time"], job["peak_mem_mb"], job["state"]) == (None, None, "CANCELLED")


def test_an_older_record_that_stops_early_is_read_as_far_as_it_goes() -> None:
    line = record()
    (job,), report = read(line[: line.index(' "vision"')])
    assert (job["state"], job["command"]) == ("COMPLETED", 'python train.py --tag "a b"')
    assert (job["account"], job["peak_mem_mb"], job["timelimit_s"]) == (None, None, None)
    assert not report.rejected


def test_other_records_are_skipped_and_broken_ones_rejected_with_their_line() -> None:
    rows, report = read(
        "#153245", '"EVENT_ADRSV_FINISH" "10.1" 1', record(), '"JOB_FINISH" "10.1" 7', "???", record(job_id=0)
    )
    assert len(rows) == 1
    assert dict(report.skipped) == {"EVENT_ADRSV_FINISH record": 1}
    assert [rejection.line for rejection in report.rejections] == [4, 5, 6]


@pytest.mark.parametrize("log", [b"", b"a|b\n1|2\n", b"\x00\x01\x02" * 1000])
def test_a_log_of_another_format_is_an_error(log: bytes) -> None:
    with pytest.raises(LogFormatError, match="JOB_FINISH"):
        list(LsfReader().read(io.BytesIO(log), ReadReport()))


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_no_bytes_crash_the_reader(noise: bytes, position: int) -> None:
    line = record().encode()
    for log in (noise, line[:position] + noise + line[position + len(noise) :]):
        try:
            for table in LsfReader().read(io.BytesIO(log), ReadReport()):
                assert table.schema == SCHEMA
        except LogError:
            pass


@given(
    st.lists(
        st.sampled_from(["-1", "0", "64", "3", '""', '"n1"', "99999999999999999999", "nan", "1e999"]), max_size=120
    )
)
def test_no_sequence_of_fields_crashes_the_reader(fields: list[str]) -> None:
    rows, _ = read(" ".join(['"JOB_FINISH"', '"10.1"', *fields]), record())
    assert rows
