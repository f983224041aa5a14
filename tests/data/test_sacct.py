"""The `sacct` reader, on outputs written here in the shape of the real ones (22.05, cgroup and sampling)."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import ConfigError, LogFormatError
from crowdrun.data.sources import sacct_lines
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct import NEVER_STARTED, SacctReader
from crowdrun.data.sources.sacct_request import FLAGGED
from crowdrun.data.sources.sacct_steps import (
    JOINED,
    LARGEST_TASK,
    LARGEST_TIMES_TASKS,
    REQUEUED,
    SAMPLING_KILL,
    STEP_OUT_OF_MEMORY,
)
from crowdrun.data.sources.stream import MAX_LINE_BYTES, open_log

FIELDS = (
    "JobID|User|Account|Partition|JobName|State|ReqMem|MaxRSS|ReqTRES|AllocTRES|Elapsed|Timelimit|Submit|Start|End|"
    "WorkDir|SubmitLine|ExitCode"
)


def read(text: str | bytes, timezone: str = "UTC") -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    data = text.encode() if isinstance(text, str) else text
    tables = list(SacctReader(timezone).read(io.BytesIO(data), report))
    assert all(table.schema == SCHEMA for table in tables)
    return pa.concat_tables(tables).to_pylist() if tables else [], report


def line(**values: str) -> str:
    return "|".join(values.get(name, "") for name in FIELDS.split("|"))


def job(job_id: str = "7", **values: str) -> str:
    return line(
        **{
            "JobID": job_id,
            "User": "ada",
            "Account": "vision",
            "Partition": "gpu",
            "JobName": "train",
            "State": "COMPLETED",
            "ReqMem": "500M",
            "ReqTRES": "billing=1,cpu=1,mem=500M,node=1",
            "AllocTRES": "billing=1,cpu=1,mem=500M,node=1",
            "Elapsed": "00:00:21",
            "Timelimit": "00:03:00",
            "Submit": "2024-03-01T12:00:00",
            "Start": "2024-03-01T12:00:02",
            "End": "2024-03-01T12:00:23",
            "WorkDir": "/home/ada",
            "SubmitLine": "sbatch train.sh",
            "ExitCode": "0:0",
            **values,
        }
    )


def step(step_id: str = "7.batch", **values: str) -> str:
    return line(**{"JobID": step_id, "State": "COMPLETED", "MaxRSS": "318492K", "ExitCode": "0:0", **values})


def log(*lines: str) -> str:
    return "\n".join((FIELDS, *lines)) + "\n"


def test_a_job_and_its_steps_become_one_row() -> None:
    [row], report = read(log(job(), step("7.batch"), step("7.extern", MaxRSS="0"), step("7.0", MaxRSS="0.5G")))
    assert row | {"job_id": "7"} == row
    assert row["user"] == "ada"
    assert row["command"] == "sbatch train.sh"
    assert row["submit_time"] == pd.Timestamp("2024-03-01T12:00:00Z").timestamp()
    assert row["end_time"] - row["start_time"] == 21
    assert (row["req_nodes"], row["req_cpus"], row["req_mem_mb"], row["req_gpus"]) == (1, 1, 500.0, 0)
    assert (row["timelimit_s"], row["state"], row["exit_code"]) == (180.0, "COMPLETED", "0:0")
    assert row["peak_mem_mb"] == 512.0
    assert report.repaired[JOINED] == 1
    assert (report.lines, report.jobs, report.rejected.total()) == (5, 1, 0)


def test_an_srun_step_out_of_memory_in_a_completed_job_makes_the_job_out_of_memory() -> None:
    [row], report = read(log(job(), step(), step("7.0", State="OUT_OF_MEMORY", ExitCode="0:125")))
    assert row["state"] == "OUT_OF_MEMORY"
    assert report.repaired[STEP_OUT_OF_MEMORY] == 1


def test_a_step_killed_by_sampling_above_the_request_makes_the_job_out_of_memory() -> None:
    failed = job(State="FAILED", ExitCode="0:9")
    killed = {"State": "CANCELLED by 0", "ExitCode": "0:9"}
    [row], report = read(log(failed, step(MaxRSS="600M", **killed)))
    assert (row["state"], row["peak_mem_mb"]) == ("OUT_OF_MEMORY", 600.0)
    assert report.repaired[SAMPLING_KILL] == 1
    [row], report = read(log(failed, step(MaxRSS="60M", **killed)))
    assert row["state"] == "FAILED"


def test_the_sum_over_tasks_is_preferred_and_the_rule_is_named_where_it_is_missing() -> None:
    fields = "JobID|State|MaxRSS|AveRSS|NTasks|TRESUsageInTot"
    text = f"{fields}\n1|COMPLETED||||\n1.0|COMPLETED|{{}}\n"
    for values, peak_mb, rule in (
        ("100M|90M|4|cpu=00:01:00,mem=350M,vmem=999M", 350.0, None),
        ("100M|90M|4|", 360.0, None),
        ("100M||4|", 400.0, LARGEST_TIMES_TASKS),
        ("100M||1|", 100.0, None),
        ("100M|||", 100.0, LARGEST_TASK),
    ):
        [row], report = read(text.format(values))
        assert row["peak_mem_mb"] == peak_mb
        assert {name for name, count in report.repaired.items() if count} == {JOINED, *([rule] if rule else [])}


def test_gpus_and_their_figures_come_from_tres() -> None:
    fields = "JobID|State|ReqTRES|AllocTRES|TRESUsageInMax|TRESUsageInAve"
    asked = "cpu=8,gres/gpu:a100=4,gres/gpu=4,mem=64G,node=2"
    usage = "cpu=00:01:00,gres/gpumem=1843M,gres/gpuutil=97,mem=1G"
    [row], _ = read(f"{fields}\n1|COMPLETED|{asked}|{asked}||\n1.0|COMPLETED|||{usage}|{usage.replace('97', '50')}\n")
    assert (row["req_gpus"], row["gpu_type"], row["alloc_gpus"], row["req_nodes"]) == (4, "a100", 4, 2)
    assert (row["peak_gpu_mem_mb"], row["gpu_util"]) == (1843.0, 0.5)


@pytest.mark.parametrize(
    ("reqmem", "total_mb"),
    [("4000Mn", 8000.0), ("4Gc", 65536.0), ("2.5G", 2560.0), ("1T", 2.0**20), ("0n", None), ("", None)],
)
def test_reqmem_of_every_version_becomes_the_total_of_the_job(reqmem: str, total_mb: float | None) -> None:
    [row], _ = read(f"JobID|State|NNodes|NCPUS|ReqMem\n1|COMPLETED|2|16|{reqmem}\n")
    assert row["req_mem_mb"] == total_mb


def test_the_flag_that_old_databases_left_in_reqmem_is_taken_off() -> None:
    [row], report = read("JobID|State|NNodes|NCPUS|ReqMem\n1|COMPLETED|1|8|2147486648Mn\n")
    assert row["req_mem_mb"] == 24000.0
    assert report.repaired[FLAGGED] == 1


def test_each_run_of_a_requeued_job_is_a_row_with_its_own_start_and_steps() -> None:
    rows, report = read(
        log(
            job(State="REQUEUED", Start="2024-03-01T12:00:01"),
            step(MaxRSS="100M", State="CANCELLED"),
            job("8"),
            job(Start="2024-03-01T12:00:15"),
            step(MaxRSS="50M"),
        )
    )
    assert [(row["job_id"], row["state"], row["peak_mem_mb"]) for row in rows] == [
        ("7", "REQUEUED", 100.0),
        ("8", "COMPLETED", None),
        ("7", "COMPLETED", 50.0),
    ]
    assert report.repaired[REQUEUED] == 1


def test_array_tasks_pending_arrays_and_heterogeneous_jobs_keep_their_ids() -> None:
    rows, report = read(
        log(
            job("5_0"),
            step("5_0.batch"),
            job("5_[1-9%2]", State="PENDING", Start="Unknown", End="Unknown"),
            job("9+1"),
            step("9+1.0"),
        )
    )
    assert [row["job_id"] for row in rows] == ["5_0", "5_[1-9%2]", "9+1"]
    assert (rows[1]["state"], rows[1]["start_time"], rows[1]["end_time"]) == ("PENDING", None, None)
    assert not report.rejected


def test_newlines_and_separators_in_users_text_are_mended() -> None:
    rows, report = read(
        log(
            job("1"),
            step("1.0", SubmitLine="srun python3 -c \nimport time\n\ntime.sleep(1)"),
            job("2", JobName="we|ird", SubmitLine="sbatch --wrap a | b | c"),
            job("3"),
        )
    )
    assert [row["job_id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["peak_mem_mb"] == 318492 / 1024
    assert (rows[1]["job_name"], rows[1]["command"]) == ("we|ird", "sbatch --wrap a | b | c")
    assert (report.repaired["newline inside a field"], report.repaired["separator inside a field"]) == (1, 1)
    assert report.lines == 8
    assert not report.rejected


def test_what_cannot_be_mended_is_rejected_with_its_line_number() -> None:
    rows, report = read(
        log(job("1"), "2|ada|vision", job("3"), "x" + job("4"), job("5", State="WHATEVER"), step("6.0"))
    )
    assert [row["job_id"] for row in rows] == ["1", "3"]
    assert {(rejection.line, rejection.reason) for rejection in report.rejections} == {
        (3, "too few fields"),
        (5, "not a job id"),
        (6, "unknown state"),
        (7, "step without its job"),
    }


def test_a_value_that_cannot_be_read_is_unknown_and_counted() -> None:
    rows, report = read(log(job("1", ReqTRES="", ReqMem="lots", Submit="yesterday", Timelimit="long"), job("2")))
    assert (rows[0]["req_mem_mb"], rows[0]["submit_time"], rows[0]["timelimit_s"]) == (None, None, None)
    assert rows[1]["submit_time"] == pd.Timestamp("2024-03-01T12:00:00Z").timestamp()
    assert report.repaired["submit that cannot be read taken as unknown"] == 1
    assert report.repaired["timelimit that cannot be read taken as unknown"] == 1


def test_times_are_utc_unless_a_zone_is_named_and_epoch_seconds_are_taken_as_such() -> None:
    [row], _ = read(log(job()), "Europe/Berlin")
    assert row["submit_time"] == pd.Timestamp("2024-03-01T11:00:00Z").timestamp()
    [row], _ = read(log(job(Submit="1709294400")), "Europe/Berlin")
    assert row["submit_time"] == 1709294400.0
    assert row["start_time"] == pd.Timestamp("2024-03-01T11:00:02Z").timestamp()
    with pytest.raises(ConfigError, match="Mars"):
        SacctReader("Mars/Olympus")


def test_an_output_made_with_x_gets_advice_and_one_without_peaks_too() -> None:
    _, report = read(log(job("1"), job("2")))
    assert any("-X" in sentence for sentence in report.advice)
    _, report = read("JobID|State|Submit|Start|End\n1|COMPLETED|||\n")
    assert any("MaxRSS" in sentence for sentence in report.advice)


def test_the_end_comes_from_elapsed_where_the_log_has_no_end() -> None:
    [row], _ = read("JobID|State|Start|Elapsed\n1|COMPLETED|2024-03-01T12:00:00|1-00:00:01\n")
    assert row["end_time"] - row["start_time"] == 86401


def test_the_layout_of_26_fields_comes_without_a_header() -> None:
    text = (
        "165381|165381|alpha|gpu|normal|vision|ada|45789|ada|196224|2016-12-27T20:12:01|2016-12-27T20:12:01|"
        "2016-12-27T20:12:01|2017-01-01T20:12:27|5-00:00:26|1:0|TIMEOUT|8|64|64|8000Mn|cpu=64,mem=62.50G,node=8|"
        "billing=64,cpu=64,mem=62.50G,node=8|5-00:00:00|n[1-8]|train\n"
        "165382|165382|alpha|gpu|normal|vision|ada|45789|ada|196224|2016-12-27T20:12:01|2016-12-27T20:12:01|"
        "2016-12-28T20:12:01|2016-12-28T20:12:01|00:00:00|0:0|CANCELLED by 196224|1|12|12|31000Mn|cpu=12,node=1|"
        "cpu=12,gres/gpu=2,mem=31000M,node=1|5-00:00:00|None assigned|train\n"
    )
    rows, report = read(text)
    assert (rows[0]["req_mem_mb"], rows[0]["state"], rows[0]["job_name"]) == (64000.0, "TIMEOUT", "train")
    assert (rows[1]["req_mem_mb"], rows[1]["start_time"], rows[1]["req_gpus"]) == (31000.0, None, None)
    assert report.repaired[NEVER_STARTED] == 1
    assert report.lines == 2


def test_a_trailing_separator_windows_line_ends_and_a_repeated_header_are_read() -> None:
    text = "JobID|State|\r\n1|COMPLETED|\r\nJobID|State|\r\n2|FAILED|\r\n"
    rows, report = read(text)
    assert [(row["job_id"], row["state"]) for row in rows] == [("1", "COMPLETED"), ("2", "FAILED")]
    assert not report.rejected


def test_another_first_line_is_not_sacct() -> None:
    for text in ("", "hello\n", "a|b|c\n1|2|3\n"):
        with pytest.raises(LogFormatError, match="not sacct output"):
            read(text)


def test_damaged_bytes_spoil_their_own_line_alone() -> None:
    text = log(job("1", JobName="caf\xe9")).encode("latin-1") + b"\x00\x00\xff\xfe\n" + b"y" * 1_000_000 + b"\n"
    text += log(job("2", JobName="nul\x00")).encode()
    rows, report = read(text)
    assert [(row["job_id"], row["job_name"]) for row in rows] == [("1", "caf\\xe9"), ("2", "nul\\x00")]
    assert {rejection.line for rejection in report.rejections} <= {3, 4}
    assert report.rejected.total() >= 1


def test_blocks_never_part_a_job_from_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    for number in range(1, 200):
        lines += [job(str(number)), step(f"{number}.batch", MaxRSS="1M"), step(f"{number}.0", MaxRSS=f"{number}M")]
        if number % 7 == 0:
            lines[-1] = step(f"{number}.0", MaxRSS=f"{number}M", SubmitLine="srun a\nb | c")
    whole, _ = read(log(*lines))
    monkeypatch.setattr(sacct_lines, "CHUNK_BYTES", 777)
    pieces, report = read(log(*lines))
    assert pieces == whole
    assert [row["peak_mem_mb"] for row in pieces] == [float(number) for number in range(1, 200)]
    assert not report.rejected


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sacct_lines, "CHUNK_BYTES", 1 << 16)
    rows, report = read(log(job("1")).encode() + b"z" * 5_000_000 + b"\n" + job("2").encode())
    assert [row["job_id"] for row in rows] == ["1", "2"]
    assert [(rejection.line, rejection.reason) for rejection in report.rejections] == [
        (3, f"line longer than {MAX_LINE_BYTES} bytes")
    ]


def test_public_sacct_files_are_read_without_a_rejection(traces: Path) -> None:
    for name, jobs in (("xdmod-phillips", 4285), ("xdmod-pozidriv", 11704)):
        report = ReadReport()
        with open_log(traces / f"{name}.sacct.xz") as stream:
            table = pa.concat_tables(list(SacctReader().read(stream, report)))
        assert table.num_rows == report.jobs == jobs
        assert not report.rejected
        assert table.column("req_mem_mb").null_count == 0
        assert max(table.column("req_mem_mb").to_pylist()) < 2**21
