"""The `pbs` reader, on records written here in the shape of Torque's and PBS Professional's, and on a public log."""

import contextlib
import io
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError, LogTruncatedError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.pbs import PbsReader, parse_message
from crowdrun.data.sources.pbs_exit import PBS_PRO, TORQUE
from crowdrun.data.sources.pbs_request import total_request
from crowdrun.data.sources.rows import TRIES
from crowdrun.data.sources.stream import open_log
from crowdrun.data.states import STATES

TORQUE_END = (
    "10/16/2017 06:36:31;E;523110.head;user=ada group=vision account=nets jobname=train 4 queue=batch ctime=1508131000 "
    "qtime=1508131000 etime=1508131000 start=1508131623 owner=ada@login exec_host=c3/0-15+c4/0-15 "
    "exec_gpus=c3-gpu/0+c3-gpu/1+c4-gpu/0+c4-gpu/1 Resource_List.neednodes=2:ppn=16:gpus=2 Resource_List.nodect=2 "
    "Resource_List.nodes=2:ppn=16:gpus=2 Resource_List.vmem=500gb Resource_List.walltime=200:00:00 session=27309 "
    "total_execution_slots=32 unique_node_count=2 end=1508150191 Exit_status=0 resources_used.cput=188551 "
    "resources_used.energy_used=0 resources_used.mem=1048576kb resources_used.vmem=2044016kb "
    "resources_used.walltime=05:09:28"
)
PRO_END = (
    '03/02/2024 10:00:00;E;77[3].pbs1;user=grace group=nlp project=_pbs_project_default jobname="fine tune" queue=gpu '
    "ctime=1709370000 qtime=1709370000 etime=1709370000 start=1709370600 exec_host=n1/0*4+n2/0*4 "
    "exec_vnode=(n1:ncpus=4:mem=8388608kb:ngpus=1)+(n2:ncpus=4:mem=8388608kb:ngpus=1) Resource_List.mem=16gb "
    "Resource_List.ncpus=8 Resource_List.ngpus=2 Resource_List.nodect=2 Resource_List.place=free "
    "Resource_List.select=2:ncpus=4:mem=8gb:ngpus=1:accelerator_model=a100 Resource_List.walltime=02:00:00 session=51 "
    "alt_id=x end=1709373600 Exit_status=-27 resources_used.cpupercent=380 resources_used.mem=16000000kb "
    "resources_used.walltime=00:50:00 run_count=1"
)


def read(*lines: str | bytes) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    log = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    rows = [row for table in PbsReader().read(io.BytesIO(log), report) for row in table.to_pylist()]
    return rows, report


def test_a_torque_record_gives_every_figure_as_a_total_of_the_job() -> None:
    (job,), report = read(TORQUE_END)
    known = {name: value for name, value in job.items() if value is not None}
    assert known == {
        "job_id": "523110",
        "user": "ada",
        "group": "vision",
        "account": "nets",
        "partition": "batch",
        "job_name": "train 4",
        "submit_time": 1508131000.0,
        "start_time": 1508131623.0,
        "end_time": 1508150191.0,
        "req_nodes": 2,
        "req_cpus": 32,
        "req_mem_mb": 512000.0,
        "req_gpus": 4,
        "timelimit_s": 720000.0,
        "state": "COMPLETED",
        "exit_code": "0",
        "peak_mem_mb": 1024.0,
        "alloc_gpus": 4,
    }
    assert (report.lines, report.jobs) == (1, 1)


def test_a_pbs_professional_record_with_select_chunks_and_a_quoted_name() -> None:
    (job,), _ = read(PRO_END)
    assert job["job_id"] == "77_3"
    assert job["job_name"] == "fine tune"
    assert job["account"] is None
    assert (job["req_nodes"], job["req_cpus"], job["req_gpus"], job["alloc_gpus"]) == (2, 8, 2, 2)
    assert (job["req_mem_mb"], job["gpu_type"], job["timelimit_s"]) == (16384.0, "a100", 7200.0)
    assert (job["state"], job["exit_code"]) == ("OUT_OF_MEMORY", "-27")


@pytest.mark.parametrize(
    ("resources", "mem_mb"),
    [
        ({"mem": "4gb", "vmem": "100gb", "pmem": "1gb", "nodes": "1:ppn=8"}, 4096.0),
        ({"select": "2:ncpus=4:mem=3gb+1:mem=1gb", "vmem": "100gb"}, 7168.0),
        ({"pmem": "1gb", "vmem": "100gb", "nodes": "2:ppn=4"}, 8192.0),
        ({"vmem": "100gb", "pvmem": "1gb", "nodes": "2:ppn=4"}, 102400.0),
        ({"pvmem": "1gb", "nodes": "node01:ppn=4+node02:ppn=2"}, 6144.0),
        ({"pmem": "512mb", "procs": "16"}, 8192.0),
        ({"nodes": "1"}, None),
    ],
)
def test_the_memory_request_is_the_first_that_is_given_of_the_documented_order(
    resources: dict[str, str], mem_mb: float | None
) -> None:
    assert total_request(resources).mem_mb == mem_mb


@pytest.mark.parametrize(
    ("status", "used", "state"),
    [
        ("0", "01:00:00", "COMPLETED"),
        ("1", "01:00:00", "FAILED"),
        ("271", "01:00:00", "CANCELLED"),
        ("265", "200:00:03", "TIMEOUT"),
        ("-11", "200:00:03", "TIMEOUT"),
        ("-10", "01:00:00", "OUT_OF_MEMORY"),
        ("-1", "00:00:00", "BOOT_FAIL"),
        ("x", "00:00:00", None),
    ],
)
def test_the_state_follows_from_torques_exit_status(status: str, used: str, state: str | None) -> None:
    line = TORQUE_END.replace("Exit_status=0", f"Exit_status={status}").replace("walltime=05:09:28", f"walltime={used}")
    assert read(line)[0][0]["state"] == state


def test_every_state_of_the_exit_tables_is_one_of_ours() -> None:
    assert {*TORQUE.values(), *PBS_PRO.values()} <= STATES.keys()


def test_the_same_status_means_something_else_in_pbs_professional() -> None:
    assert read(PRO_END.replace("Exit_status=-27", "Exit_status=-11"))[0][0]["state"] == "REQUEUED"


def test_a_name_with_blanks_and_equal_signs_takes_nothing_from_the_fields_around_it() -> None:
    fields = parse_message("user=ada jobname=lr=0.1 start=7 queue=x end=9 queue=batch ctime=1 start=2 end=3 owner=a@b")
    assert fields["jobname"] == "lr=0.1 start=7 queue=x end=9"
    assert (fields["user"], fields["queue"], fields["start"], fields["end"]) == ("ada", "batch", "2", "3")


def test_other_events_are_counted_as_skipped_not_as_rejected() -> None:
    rows, report = read(
        "10/16/2017 06:00:00;Q;1.head;queue=batch",
        "10/16/2017 06:00:01;S;1.head;user=ada start=1",
        "10/16/2017 06:00:02;D;1.head;requestor=ada@login",
        "10/16/2017 06:00:03;R;1.head;",
        "10/16/2017 06:00:04;L;license;floating license hour:3",
        TORQUE_END.replace(";523110.head;", ";523110[].head;"),
        TORQUE_END,
    )
    assert len(rows) == 1
    assert dict(report.skipped) == {
        "job queued": 1,
        "job started": 1,
        "job deleted by a request": 1,
        "requeue without figures": 1,
        "licences": 1,
        "summary of a job array": 1,
    }
    assert not report.rejected


def test_a_requeued_run_that_carries_figures_is_a_row_of_its_own() -> None:
    rows, _ = read(PRO_END.replace(";E;", ";R;"), PRO_END.replace("start=1709370600", "start=1709380000"))
    assert [(row["job_id"], row["state"]) for row in rows] == [("77_3", "REQUEUED"), ("77_3", "OUT_OF_MEMORY")]


def test_a_bad_line_is_rejected_with_its_number_and_the_rest_is_read() -> None:
    rows, report = read(TORQUE_END, "garbage", TORQUE_END.replace("ctime=1508131000", "ctime=soon"), TORQUE_END)
    assert len(rows) == 2
    assert [(rejection.line, rejection.reason) for rejection in report.rejections] == [
        (2, "not an accounting record"),
        (3, "record without id, ctime, start and end in epoch seconds"),
    ]


def test_an_unreadable_request_is_unknown_and_the_job_is_kept() -> None:
    (job,), report = read(TORQUE_END.replace("vmem=500gb", "vmem=lots"))
    assert job["req_mem_mb"] is None
    assert job["peak_mem_mb"] == 1024.0
    assert sum(report.repaired.values()) == 1


def test_names_that_are_not_utf8_and_nul_bytes_are_kept_in_a_readable_form() -> None:
    (job,), _ = read(TORQUE_END.encode().replace(b"train 4", b"caf\xe9\x00"))
    assert job["job_name"] == "caf\\xe9\\x00"


@pytest.mark.parametrize("log", [b"", b"\n\n", b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n" * 50, b"x\n" * (TRIES + 5)])
def test_a_log_of_another_format_is_an_error_that_names_what_was_expected(log: bytes) -> None:
    with pytest.raises(LogFormatError, match="not in the format pbs"):
        list(PbsReader().read(io.BytesIO(log), ReadReport()))


def test_blocks_have_the_canonical_schema_and_a_cut_log_gives_its_jobs_first(tmp_path: Path) -> None:
    packed = lzma.compress(b"\n".join([TORQUE_END.replace("523110", str(n)).encode() for n in range(30_000)]))
    log = tmp_path / "log.xz"
    log.write_bytes(packed[: len(packed) // 2])
    report, tables = ReadReport(), []
    with open_log(log) as stream, pytest.raises(LogTruncatedError):
        tables.extend(PbsReader().read(stream, report))
    assert all(table.schema == SCHEMA for table in tables)
    assert sum(table.num_rows for table in tables) == report.jobs > 5000


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(log: bytes) -> None:
    with contextlib.suppress(LogError):
        list(PbsReader().read(io.BytesIO(log), ReadReport()))


@given(st.lists(st.tuples(st.integers(0, len(TORQUE_END)), st.binary(max_size=8)), max_size=6), st.booleans())
def test_no_mutation_of_a_record_crashes_the_reader(edits: list[tuple[int, bytes]], pro: bool) -> None:
    line = (PRO_END if pro else TORQUE_END).encode()
    for position, insert in edits:
        line = line[:position] + insert + line[position + len(insert) :]
    report = ReadReport()
    for table in PbsReader().read(io.BytesIO(TORQUE_END.encode() + b"\n" + line), report):
        assert table.schema == SCHEMA
    assert report.jobs >= 1


def test_every_finished_job_of_the_public_torque_log_comes_out(traces: Path) -> None:
    report = ReadReport()
    with open_log(traces / "iu-mason-2017.pbs-accounting.xz") as stream:
        jobs = [row for table in PbsReader().read(stream, report) for row in table.to_pylist()]
    assert (report.lines, len(jobs), sum(report.rejected.values())) == (51_891, 16_221, 0)
    assert len({job["job_id"] for job in jobs}) == 16_221
    assert sum(job["req_mem_mb"] is None for job in jobs) == 0
    assert sum(job["state"] == "TIMEOUT" for job in jobs) == 391
