"""Runs read back from their folders, those that were killed and those under way among them."""

import json
from pathlib import Path
from typing import Any

import pytest

from crowdrun.data.errors import LaunchError
from crowdrun.training.launch.own_job import OwnJob
from crowdrun.training.runs.history import begun_by, read_run, read_runs, summary_of

REQUEST = {"job_name": "digits", "user": "ada", "model": "digits", "command": "crowdrun run digits", "req_mem_mb": None}


def attempt(number: int, state: str, **outcome: Any) -> dict[str, Any]:
    ended = {"state": state, "start_time": 10.0, "end_time": 25.0, "peak_mem_mb": 300.0, "peak_gpu_mem_mb": None}
    return {"number": number, "request": REQUEST, "cause": None, "status": 0, "outcome": ended | outcome}


def make(folder: Path, run_id: str, attempts: list[dict[str, Any]], *, folders: int | None = None) -> Path:
    place = folder / run_id
    place.mkdir(parents=True)
    record = {"run_id": run_id, "request": REQUEST, "plan": {"reasons": []}, "attempts": attempts, "result": None}
    (place / ("outcome.json" if attempts else "plan.json")).write_text(json.dumps(record))
    for number in range(1, (len(attempts) if folders is None else folders) + 1):
        (place / f"attempt-{number}").mkdir()
    return place


def test_the_newest_comes_first_and_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "20260102T000000Z-a-1111", [attempt(1, "FAILED")])
    make(tmp_path, "20260103T000000Z-b-2222", [attempt(1, "COMPLETED")])
    (tmp_path / "notes").mkdir()
    (tmp_path / "20260104T000000Z-torn-3333").mkdir()
    (tmp_path / "20260104T000000Z-torn-3333" / "plan.json").write_text('{"run_id"')
    assert [summary_of(record).state for record in read_runs(tmp_path)] == ["COMPLETED", "FAILED"]
    assert list(read_runs(tmp_path / "none")) == []


def test_times_add_up_over_the_attempts_and_the_largest_peak_counts(tmp_path: Path) -> None:
    make(tmp_path, "20260102T000000Z-a-1111", [attempt(1, "OUT_OF_MEMORY", peak_mem_mb=500.0), attempt(2, "COMPLETED")])
    [record] = read_runs(tmp_path)
    told = summary_of(record)
    assert (told.attempts, told.run_time_s, told.peak_mem_mb, told.state) == (2, 30.0, 500.0, "COMPLETED")
    assert told.started == 1767312000.0


def test_a_run_is_running_while_it_is_measured_and_lost_when_nothing_comes_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make(tmp_path, "20260102T000000Z-a-1111", [], folders=1)
    [record] = read_runs(tmp_path)
    assert summary_of(record).state == "LOST"
    (place / "attempt-1" / "samples-0.jsonl").write_text("")
    assert summary_of(record).state == "RUNNING"
    monkeypatch.setattr("crowdrun.training.runs.history.SILENT_S", -1.0)
    assert summary_of(record).state == "LOST"


def test_a_second_attempt_that_is_under_way_counts_more_than_the_end_of_the_first(tmp_path: Path) -> None:
    place = make(tmp_path, "20260102T000000Z-a-1111", [attempt(1, "OUT_OF_MEMORY")], folders=2)
    (place / "attempt-2" / "samples-0.jsonl").write_text("")
    [record] = read_runs(tmp_path)
    assert (summary_of(record).state, summary_of(record).attempts) == ("RUNNING", 2)


def test_a_run_is_found_by_the_beginning_of_its_id_where_that_is_clear(tmp_path: Path) -> None:
    for run_id in ("20260102T000000Z-a-1111", "20260102T000000Z-a-1111b", "20260103T000000Z-c-3333"):
        make(tmp_path, run_id, [attempt(1, "COMPLETED")])
    assert read_run(tmp_path, "20260103")["run_id"] == "20260103T000000Z-c-3333"
    assert read_run(tmp_path, "20260102T000000Z-a-1111")["run_id"] == "20260102T000000Z-a-1111"
    with pytest.raises(LaunchError, match=r"2 runs in .* begin with '20260102'; 'crowdrun runs' lists them"):
        read_run(tmp_path, "20260102")
    with pytest.raises(LaunchError, match=r"no run in .* begins with 'x'"):
        read_run(tmp_path, "x")


def test_a_job_that_slurm_starts_again_finds_the_newest_run_that_it_began_and_no_other(tmp_path: Path) -> None:
    began = [("7_1", 0, "20260102"), ("7_1", 1, "20260103"), ("7_2", 0, "20260104"), ("7_1", 2, "20260105")]
    for job_id, restarts, day in began:
        folder = make(tmp_path, f"{day}T000000Z-digits-1111", [attempt(1, "CANCELLED")])
        told = json.loads((folder / "outcome.json").read_text())
        told["slurm_job"] = {"cluster": "c", "job_id": job_id, "restarts": restarts}
        (folder / "outcome.json").write_text(json.dumps(told))
    make(tmp_path, "20260106T000000Z-digits-1111", [attempt(1, "CANCELLED")])
    own = OwnJob(cluster="c", job_id="7_1", restarts=2)
    # The one of this same start may be another `crowdrun run` of the script.
    assert (begun_by(own, "digits", tmp_path) or {})["run_id"] == "20260103T000000Z-digits-1111"
    assert begun_by(own, "other", tmp_path) is None
    assert begun_by(OwnJob(cluster="d", job_id="7_1", restarts=2), "digits", tmp_path) is None
