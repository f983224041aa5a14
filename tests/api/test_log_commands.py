"""`crowdrun convert` and `crowdrun inspect`, as a user types them."""

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crowdrun.api.commands.convert import command as convert
from crowdrun.api.commands.inspect import command as inspect
from crowdrun.data.errors import ConfigError, LogError, LogFormatError, LogTruncatedError
from crowdrun.data.reading import load_jobs

SACCT = (
    "JobID|User|JobName|State|ReqMem|MaxRSS|NTasks|Submit|Start|End\n"
    "1|ada|train-1|COMPLETED|1024M|||2024-03-01T12:00:00|2024-03-01T12:00:00|2024-03-01T13:00:00\n"
    "1.batch||batch|COMPLETED||256M|1|||\n"
    "2|ada|train-2|OUT_OF_MEMORY|1024M|||2024-03-01T12:00:00|2024-03-01T12:00:00|2024-03-01T13:00:00\n"
    "2.batch||batch|OUT_OF_MEMORY||900M|1|||\n"
    "3|bob|eval|COMPLETED|2048M|||2024-03-02T12:00:00|2024-03-02T12:00:00|2024-03-02T12:00:04\n"
    "3.batch||batch|COMPLETED||1M|1|||\n"
    "oops\n"
    "1|ada|train-1|COMPLETED|1024M|||2024-03-01T12:00:00|2024-03-01T12:00:00|2024-03-01T13:00:00\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(SACCT)
    return path


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.parquet"])
def test_convert_writes_every_job_and_the_table_is_read_back(log: Path, tmp_path: Path, name: str) -> None:
    result = run(convert, log, "--to", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert "4 jobs of 9 lines" in result.stderr
    assert "1 lines rejected" in result.stderr
    assert load_jobs([tmp_path / name]).equals(load_jobs([log]))


def test_convert_reads_standard_input(tmp_path: Path) -> None:
    target = tmp_path / "jobs.csv"
    result = CliRunner().invoke(convert, ["-", "--to", str(target)], input=gzip.compress(SACCT.encode()))
    assert result.exit_code == 0, result.output
    assert len(target.read_text().splitlines()) == 5


def test_convert_of_a_log_that_breaks_off_writes_nothing_unless_told(log: Path, tmp_path: Path) -> None:
    log.write_bytes(gzip.compress(SACCT.encode())[:-4])
    target = tmp_path / "jobs.csv"
    target.write_text("old")
    result = run(convert, log, "--to", target)
    assert isinstance(result.exception, LogTruncatedError)
    assert "--partial" in str(result.exception)
    assert target.read_text() == "old"
    result = run(convert, log, "--to", target, "--partial")
    assert isinstance(result.exception, LogTruncatedError)
    assert len(target.read_text().splitlines()) == 5


def test_convert_refuses_what_it_cannot_do_before_it_reads(log: Path, tmp_path: Path) -> None:
    assert isinstance(run(convert, log, "--to", tmp_path / "jobs.txt").exception, ConfigError)
    assert isinstance(run(convert, log, "--format", "pbs", "--to", tmp_path / "jobs.csv").exception, LogFormatError)
    assert isinstance(run(convert, tmp_path / "none", "--to", tmp_path / "jobs.csv").exception, LogError)
    assert run(convert, log, "--format", "excel", "--to", tmp_path / "jobs.csv").exit_code == 2
    assert list(tmp_path.glob("jobs*")) == []


def test_inspect_says_what_was_read_mended_rejected_and_what_can_be_learnt(log: Path) -> None:
    result = run(inspect, log)
    assert result.exit_code == 0, result.output
    for sentence in (
        "read       9 lines: 4 runs of jobs, 1 lines rejected",
        "submitted  2024-03-01 to 2024-03-02",
        "by         2 users, 2 job names",
        "repeated   1 runs came more than once",
        "repaired   3 steps joined to their job",
        "rejected   1 too few fields: line 8",
        "out of memory: 1 at least",
        "too short: 1 unknown",
        "waste: 1 jobs asked for 1.0 GB·h of memory and used 0.2 (25.0%); the median job asked for 4.0 x its peak",
    ):
        assert sentence in result.stdout


def test_inspect_as_json_holds_the_same_figures(log: Path) -> None:
    found = json.loads(run(inspect, log, "--json").stdout)
    assert (found["lines"], found["jobs"], found["repeated"], found["users"]) == (9, 4, 1, 2)
    assert found["rejections"] == [{"line": 8, "reason": "too few fields", "text": "oops"}]
    assert found["targets"]["mem_mb"]["rules"] == {"measured": 1, "out of memory": 1, "too short": 1}
    assert found["targets"]["run_time_s"]["measured"] == 2
    assert found["memory"]["requested_gbh"] == 1.0
    assert found["memory"]["median_request_to_peak"] == pytest.approx(4, rel=0.01)


def test_inspect_of_a_log_that_breaks_off_shows_what_came_before_and_fails(log: Path) -> None:
    log.write_bytes(gzip.compress(SACCT.encode())[:-4])
    result = run(inspect, log)
    assert "4 runs of jobs" in result.stdout
    assert isinstance(result.exception, LogTruncatedError)


def test_inspect_with_a_wrong_format_shows_the_error_alone(log: Path) -> None:
    result = run(inspect, log, "--format", "swf")
    assert isinstance(result.exception, LogFormatError)
    assert "--format sacct" in str(result.exception)
    assert result.stdout == ""


def test_inspect_of_a_log_without_peaks_gives_advice(log: Path) -> None:
    log.write_text("JobID|User|State|Submit|Start|End\n1|ada|COMPLETED|2024-03-01T12:00:00|Unknown|Unknown\n")
    result = run(inspect, log)
    assert "advice: the log has no memory peaks: add MaxRSS,NTasks,TRESUsageInTot to --format" in result.stdout
    assert "waste: cannot be told" in result.stdout
    assert result.exit_code == 0


def test_a_time_zone_shifts_times_and_an_unknown_one_is_an_error(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "jobs.csv"
    assert run(convert, log, "--timezone", "Europe/Berlin", "--to", target).exit_code == 0
    assert (load_jobs([log])["submit_time"] - load_jobs([target])["submit_time"]).unique().tolist() == [3600.0]
    assert isinstance(run(convert, log, "--timezone", "Mars", "--to", target).exception, ConfigError)


def test_the_public_pbs_log_keeps_every_finished_job(traces: Path, tmp_path: Path) -> None:
    target = tmp_path / "jobs.csv"
    result = run(convert, traces / "iu-mason-2017.pbs-accounting.xz", "--format", "pbs", "--to", target)
    assert result.exit_code == 0, result.output
    jobs = load_jobs([target])
    late = jobs[len(jobs) // 5 :]
    scored = late[(late["peak_mem_mb"] > 0) & (late["end_time"] - late["start_time"] >= 10)]
    wasted = (scored["req_mem_mb"] - scored["peak_mem_mb"]).clip(lower=0) / 1024
    hours = (scored["end_time"] - scored["start_time"]) / 3600
    assert (len(jobs), len(scored)) == (16_221, 9_421)
    assert (wasted * hours).sum() == pytest.approx(4.15e6, rel=0.01)
