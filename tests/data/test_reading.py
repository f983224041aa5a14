"""From logs to one frame, and what is said of logs that cannot be read."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.columns import COLUMNS, NAMES
from crowdrun.data.duplicates import SeenRuns
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.reading import load_jobs, read_log
from crowdrun.data.sources.base import ReadReport

HEADER = "job_id,user,state,submit_time,start_time,end_time,peak_mem_mb,req_gpus\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text(HEADER + "2,ada,COMPLETED,20,21,50,7,\n1,,FAILED,10,11,15,,2\n3,bob,PENDING,,,,,\n")
    return path


def test_jobs_come_sorted_by_submit_time_with_numbers_as_floats_and_texts_as_objects(log: Path) -> None:
    jobs = load_jobs([log])
    assert tuple(jobs.columns) == NAMES
    assert jobs["job_id"].tolist() == ["1", "2", "3"]
    assert jobs["user"].tolist() == [None, "ada", "bob"]
    for column in COLUMNS:
        assert jobs[column.name].dtype == (object if column.kind == "text" else np.float64), column.name
    assert math.isnan(jobs["req_gpus"][1])


def test_a_run_that_several_logs_hold_is_one_job_and_the_fullest_row_is_kept(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "more.csv"
    other.write_text(HEADER + "2,ada,RUNNING,20,21,,,\n1,ada,FAILED,10,11,15,9,2\n1,ada,FAILED,10,12,15,9,2\n")
    report = ReadReport()
    jobs = load_jobs([other, log], report=report)
    assert jobs[["job_id", "start_time"]].to_numpy().tolist()[:3] == [["1", 11.0], ["1", 12.0], ["2", 21.0]]
    assert jobs["state"].tolist() == ["FAILED", "FAILED", "COMPLETED", "PENDING"]
    assert jobs["peak_mem_mb"].tolist()[:3] == [9.0, 9.0, 7.0]
    assert sum(count for rule, count in report.repaired.items() if "more than once" in rule) == 2


def test_progress_goes_up_to_the_whole_file(log: Path) -> None:
    shares: list[float] = []
    list(read_log(log, progress=lambda _doing, share: shares.append(share)))
    assert shares[-1] == 1.0


def test_a_log_without_jobs_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("JobID|State\n1|STRANGE\n")
    with pytest.raises(LogError, match=r"has no jobs: 2 lines, 1 rejected: unknown state \(1\)"):
        load_jobs([log])


def test_a_text_of_no_known_format_is_an_error_that_shows_it_and_lists_the_formats(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Dear reader,\n")
    with pytest.raises(LogFormatError, match=r"'Dear reader,'.*--format, one of sacct, slurm-json, pbs"):
        list(read_log(log))
    with pytest.raises(LogFormatError, match="no format 'excel'"):
        list(read_log(log, "excel"))


def test_a_million_characters_nul_bytes_and_other_encodings_cost_their_own_lines_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"JobID|JobName|State\n1|caf\xe9|COMPLETED\n2|" + b"x" * 1_000_000 + b"|COMPLETED\n3|a\x00b|COMPLETED\n"
    )
    report = ReadReport()
    jobs = load_jobs([log], "sacct", report)
    assert jobs["job_name"].tolist() == ["caf\\xe9", "a\\x00b"]
    assert [rejection.line for rejection in report.rejections] == [3]


def test_seen_runs_are_told_from_new_ones_over_many_blocks() -> None:
    seen, chance = SeenRuns(), np.random.default_rng(0)
    known: set[tuple[int, int]] = set()
    for _ in range(40):
        ids, starts = chance.integers(0, 500, 100), chance.integers(0, 20, 100)
        expected = []
        for run in zip(ids.tolist(), starts.tolist(), strict=True):
            expected.append(run in known)
            known.add(run)
        frame = pd.DataFrame({"job_id": [str(number) for number in ids], "start_time": starts.astype(float)})
        assert seen.repeated(frame).tolist() == expected
