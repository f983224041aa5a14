"""The `slurm-json` reader, on documents written here in the shapes of 22.05 and of 23.11."""

import contextlib
import copy
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError, LogTruncatedError
from crowdrun.data.sources import json_array
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct_steps import JOINED, LARGEST_TIMES_TASKS, REQUEUED, SAMPLING_KILL, STEP_OUT_OF_MEMORY
from crowdrun.data.sources.slurm_json import SlurmJsonReader


def tres(**counts: int) -> list[dict[str, Any]]:
    """`mem=1` and `gres_gpu_a100=2` as Slurm lists them."""
    return [
        {"type": "gres", "name": name[5:].replace("_", ":"), "id": 1001, "count": count}
        if name.startswith("gres_")
        else {"type": name, "name": None, "id": 2, "count": count}
        for name, count in counts.items()
    ]


def old_step(peak_mb: int, tasks: int = 1, **values: Any) -> dict[str, Any]:
    peak = peak_mb * 2**20
    usage = {"max": tres(mem=peak), "average": tres(mem=peak), "total": tres(mem=peak * tasks)}
    return {
        "state": "COMPLETED",
        "exit_code": {"status": "SUCCESS", "return_code": 0},
        "kill_request_user": None,
        "tasks": {"count": tasks},
        "step": {"job_id": 4, "id": "batch", "name": "batch"},
        "tres": {"requested": usage},
        **values,
    }


OLD: dict[str, Any] = {
    "account": "vision",
    "array": {"job_id": 0, "task_id": None},
    "association": {"account": "vision", "user": "ada"},
    "group": "ada",
    "het": {"job_id": 0, "job_offset": None},
    "job_id": 4,
    "name": "train",
    "nodes": "node[1-2]",
    "partition": "gpu",
    "qos": "normal",
    "required": {"CPUs": 4, "memory": 300},
    "state": {"current": "COMPLETED", "reason": "None"},
    "exit_code": {"status": "SUCCESS", "return_code": 0},
    "steps": [old_step(13), old_step(108, tasks=4)],
    "time": {"submission": 1700000000, "start": 1700000002, "end": 1700000011, "limit": 3},
    "tres": {
        "requested": tres(cpu=4, mem=1200, node=2, gres_gpu_a100=2),
        "allocated": tres(cpu=4, mem=1200, node=2, gres_gpu_a100=2),
    },
    "working_directory": "/home/ada",
}


def number(value: int | None) -> dict[str, Any]:
    return {"set": value is not None, "infinite": False, "number": value or 0}


NEW: dict[str, Any] = OLD | {
    "array": {"job_id": 4, "task_id": number(7)},
    "state": {"current": ["COMPLETED"], "reason": "None"},
    "exit_code": {"status": ["SUCCESS"], "return_code": number(0), "signal": {"id": number(None), "name": ""}},
    "time": {"submission": 1700000000, "start": 1700000002, "end": 1700000011, "limit": number(3)},
    "submit_line": "sbatch train.sh\x00",
    "steps": [old_step(13, state=["COMPLETED"])],
}


def document(*jobs: Any) -> bytes:
    meta = {"plugin": {"name": "jobs"}, "jobs": [1, 2]}
    return json.dumps({"meta": meta, "errors": [], "jobs": jobs, "warnings": []}, indent=2).encode()


def read(data: bytes) -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    tables = list(SlurmJsonReader().read(io.BytesIO(data), report))
    assert all(table.schema == SCHEMA for table in tables)
    return pa.concat_tables(tables).to_pylist() if tables else [], report


def test_a_job_of_22_05_becomes_a_row_with_the_memory_of_all_its_tasks() -> None:
    [row], report = read(document(OLD))
    assert (row["job_id"], row["user"], row["group"], row["job_name"]) == ("4", "ada", "ada", "train")
    assert (row["req_nodes"], row["req_cpus"], row["req_mem_mb"]) == (2, 4, 1200.0)
    assert (row["req_gpus"], row["gpu_type"], row["alloc_gpus"]) == (2, "a100", 2)
    assert (row["submit_time"], row["start_time"], row["end_time"], row["timelimit_s"]) == (
        1700000000.0,
        1700000002.0,
        1700000011.0,
        180.0,
    )
    assert (row["state"], row["exit_code"], row["peak_mem_mb"]) == ("COMPLETED", "0:0", 432.0)
    assert report.repaired[JOINED] == 1


def test_the_newer_shapes_are_read() -> None:
    [row], _ = read(document(NEW))
    assert (row["job_id"], row["state"], row["exit_code"], row["timelimit_s"]) == ("4_7", "COMPLETED", "0:0", 180.0)
    assert row["command"] == "sbatch train.sh\\x00"


def test_steps_tell_of_memory_kills_that_the_job_does_not() -> None:
    signalled = {"status": "SIGNALED", "return_code": None, "signal": {"signal_id": 9, "name": "Killed"}}
    died = OLD | {"steps": [old_step(13), old_step(100, state="OUT_OF_MEMORY")]}
    killed = OLD | {
        "state": {"current": "FAILED"},
        "exit_code": signalled,
        "steps": [old_step(1300, state="CANCELLED", exit_code=signalled, kill_request_user="root")],
    }
    rows, report = read(document(died, killed))
    assert [row["state"] for row in rows] == ["OUT_OF_MEMORY", "OUT_OF_MEMORY"]
    assert rows[1]["exit_code"] == "0:9"
    assert (report.repaired[STEP_OUT_OF_MEMORY], report.repaired[SAMPLING_KILL]) == (1, 1)


def test_the_largest_task_stands_for_all_where_there_is_no_sum() -> None:
    step = old_step(100, tasks=3)
    del step["tres"]["requested"]["total"], step["tres"]["requested"]["average"]
    [row], report = read(document(OLD | {"steps": [step]}))
    assert row["peak_mem_mb"] == 300.0
    assert report.repaired[LARGEST_TIMES_TASKS] == 1


def test_the_success_that_22_05_writes_for_a_failed_job_is_no_exit_code() -> None:
    [row], _ = read(document(OLD | {"state": {"current": "FAILED"}}))
    assert row["exit_code"] is None


def test_earlier_runs_of_a_requeued_job_are_rows() -> None:
    first = OLD | {"state": {"current": "REQUEUED"}}
    rows, report = read(document(first, OLD | {"time": OLD["time"] | {"start": 1700000100, "end": 1700000200}}))
    assert [(row["job_id"], row["start_time"]) for row in rows] == [("4", 1700000002.0), ("4", 1700000100.0)]
    assert report.repaired[REQUEUED] == 1


def test_a_pending_job_has_no_start_and_no_limit_is_unknown() -> None:
    pending = OLD | {
        "state": {"current": "PENDING"},
        "time": {"submission": 1700000000, "start": 0, "end": 0, "limit": 4294967295},
        "steps": [],
    }
    [row], _ = read(document(pending))
    assert (row["start_time"], row["end_time"], row["timelimit_s"]) == (None, None, None)


def test_a_job_without_an_id_is_rejected_with_its_line() -> None:
    rows, report = read(document(OLD, {"name": "x"}, 5, OLD | {"job_id": 9}))
    assert [row["job_id"] for row in rows] == ["4", "9"]
    assert report.rejected.total() == 2
    assert report.rejections[0].line > 100


def test_a_document_that_ends_in_the_middle_gives_out_its_jobs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_CHUNK", 1000)
    data = document(*[OLD | {"job_id": number} for number in range(1, 50)])
    tables = SlurmJsonReader().read(io.BytesIO(data[: len(data) // 2]), ReadReport())
    rows = next(tables).to_pylist()
    with pytest.raises(LogTruncatedError, match="ends in the middle"):
        next(tables)
    assert [row["job_id"] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    assert 20 < len(rows) < 26


def test_broken_json_names_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_CHUNK", 1000)
    data = document(OLD, OLD).replace(b'"group": "ada"', b'"group": ada', 1) + b" " * 5000
    with pytest.raises(LogError, match=r"broken JSON in the value that begins at line \d+"):
        read(data)


def test_what_is_not_such_a_document_is_another_format() -> None:
    for data in (b"JobID|User\n", b"[]", b"{}", b'{"nodes": []}', b'{"jobs": {}}'):
        with pytest.raises(LogFormatError):
            read(data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_value_anywhere_crashes_the_reader(data: st.DataObject) -> None:
    job = copy.deepcopy(data.draw(st.sampled_from([OLD, NEW])))
    place: Any = job
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inside = place[key]
        if isinstance(inside, (dict, list)) and inside and data.draw(st.booleans()):
            place = inside
            continue
        place[key] = data.draw(anything)
        break
    rows, report = read(document(job))
    assert len(rows) + report.rejected.total() == 1


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 3000))
def test_no_bytes_crash_the_reader(noise: bytes, at: int) -> None:
    data = document(OLD)
    for damaged in (noise, data[:at] + noise + data[at:]):
        with contextlib.suppress(LogError):
            read(damaged)
