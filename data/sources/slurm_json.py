"""Reads `sacct --json` of Slurm 22.05 and newer, one job at a time.

Numbers are plain in 22.05 and `{"set": true, "infinite": false, "number": 5}` since 23.02; a state is a text, and a
list since 23.11. `required.memory` is per node or per CPU without saying which, so the request comes from
`tres.requested`, MB in all. The memory of a step lies, in bytes, under `steps[].tres.requested`: `total` is the sum of
its tasks' peaks. `exit_code` of 22.05 says SUCCESS for every job that was not killed. Earlier runs of a requeued job
are jobs of their own here.
"""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.json_array import elements
from crowdrun.data.sources.rows import Row, tables
from crowdrun.data.sources.sacct_steps import (
    JOINED,
    LARGEST_TIMES_TASKS,
    REQUEUED,
    SAMPLING_KILL,
    STEP_OUT_OF_MEMORY,
)
from crowdrun.data.sources.stream import clean_text
from crowdrun.data.states import STATES, normalise

_MB = float(2**20)
_LARGEST = float(2**53)
#: What 22.05 and 23.02 write for "no limit" and "not set" (slurm.h, INFINITE and NO_VAL).
_NO_NUMBER = frozenset({0xFFFFFFFF, 0xFFFFFFFE, 2**64 - 1, 2**64 - 2})


class SlurmJsonReader(LogReader):
    """Reads `sacct --json`."""

    name = "slurm-json"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        yield from tables(_rows(stream, report), report)


def _rows(stream: BinaryIO, report: ReadReport) -> Iterator[Row]:
    for line, job in elements(stream, "jobs"):
        report.lines = line
        row = _row(job, report)
        if row is None:
            report.reject(line, "a job without job_id or with an unknown state", str(job)[:200])
        else:
            yield row


def _row(job: Any, report: ReadReport) -> Row | None:
    job_id, state = _job_id(job), normalise(_state(_at(job, "state", "current")))
    if job_id is None or state is None:
        return None
    steps = _list(_at(job, "steps"))
    asked, given = _list(_at(job, "tres", "requested")), _list(_at(job, "tres", "allocated"))
    request_mb = _tres(asked, "mem")
    if state not in {"OUT_OF_MEMORY", "PENDING", "RUNNING"}:
        state = _mended_state(state, steps, request_mb, report)
    report.repaired[JOINED] += bool(steps)
    report.repaired[REQUEUED] += state == "REQUEUED"
    gpus, gpu_type = _gpus(asked)
    minutes = _number(_at(job, "time", "limit"))
    return {
        "job_id": job_id,
        "user": _text(_at(job, "association", "user")) or _text(_at(job, "user")),
        "group": _text(_at(job, "group")),
        "account": _text(_at(job, "account")),
        "partition": _text(_at(job, "partition")),
        "qos": _text(_at(job, "qos")),
        "job_name": _text(_at(job, "name")),
        "command": _text(_at(job, "submit_line")),
        "work_dir": _text(_at(job, "working_directory")),
        "submit_time": _time(_at(job, "time", "submission")),
        "start_time": _time(_at(job, "time", "start")) if _at(job, "nodes") != "None assigned" else None,
        "end_time": _time(_at(job, "time", "end")) if STATES[state].ended else None,
        "req_nodes": _whole(_tres(asked, "node")),
        "req_cpus": _whole(_first(_tres(asked, "cpu"), _number(_at(job, "required", "CPUs")))),
        "req_mem_mb": request_mb,
        "req_gpus": gpus,
        "gpu_type": gpu_type,
        "timelimit_s": minutes * 60 if minutes else None,
        "state": state,
        "exit_code": _exit_code(_at(job, "exit_code"), state),
        "peak_mem_mb": _largest(_step_peak_mb(step, report) for step in steps),
        "alloc_gpus": _gpus(given)[0],
        "peak_gpu_mem_mb": _largest(_usage(step, "max", "gpumem", _MB) for step in steps),
        "gpu_util": _largest(_usage(step, "average", "gpuutil", 100.0) for step in steps),
    }


def _mended_state(state: str, steps: list[Any], request_mb: float | None, report: ReadReport) -> str:
    """OUT_OF_MEMORY where only a step says so, as in `sacct_steps.py`."""
    if any(normalise(_state(_at(step, "state"))) == "OUT_OF_MEMORY" for step in steps):
        report.repaired[STEP_OUT_OF_MEMORY] += 1
        return "OUT_OF_MEMORY"
    if request_mb and any(_is_sampling_kill(step, request_mb) for step in steps):
        report.repaired[SAMPLING_KILL] += 1
        return "OUT_OF_MEMORY"
    return state


def _is_sampling_kill(step: Any, request_mb: float) -> bool:
    killed = normalise(_state(_at(step, "state"))) == "CANCELLED" and _at(step, "kill_request_user") == "root"
    return killed and _signal(_at(step, "exit_code")) == 9 and (_usage(step, "max", "mem", _MB) or 0) > request_mb


def _step_peak_mb(step: Any, report: ReadReport) -> float | None:
    largest, tasks = _usage(step, "max", "mem", _MB), _number(_at(step, "tasks", "count"))
    mean = _usage(step, "average", "mem", _MB)
    total = _first(_usage(step, "total", "mem", _MB), mean * tasks if mean and tasks else None)
    if largest and tasks and tasks > 1 and total is None:
        report.repaired[LARGEST_TIMES_TASKS] += 1
        return largest * tasks
    return _largest((total, largest))


def _usage(step: Any, statistic: str, name: str, unit: float) -> float | None:
    value = _tres(_list(_at(step, "tres", "requested", statistic)), name)
    return None if value is None else value / unit


def _tres(items: list[Any], wanted: str) -> float | None:
    """The count of a resource by its type (`mem`), or by its name where it is a gres (`gpumem`)."""
    for item in items:
        if _at(item, "type") == wanted or (_at(item, "type") == "gres" and _at(item, "name") == wanted):
            return _number(_at(item, "count"))
    return None


def _gpus(items: list[Any]) -> tuple[int | None, str | None]:
    """GPUs and their type; 0 where other resources are listed and none is a GPU."""
    if not items:
        return None, None
    named = {str(_at(item, "name")): _number(_at(item, "count")) for item in items if _at(item, "type") == "gres"}
    typed = {name.removeprefix("gpu:"): count or 0 for name, count in named.items() if name.startswith("gpu:")}
    total = _first(named.get("gpu"), sum(typed.values()))
    return _whole(total), clean_text(",".join(sorted(typed))) or None


def _job_id(job: Any) -> str | None:
    array, task = _number(_at(job, "array", "job_id")), _number(_at(job, "array", "task_id"))
    if array and task is not None:
        return f"{int(array)}_{int(task)}"
    het, offset = _number(_at(job, "het", "job_id")), _number(_at(job, "het", "job_offset"))
    if het and offset is not None:
        return f"{int(het)}+{int(offset)}"
    own = _number(_at(job, "job_id"))
    return str(int(own)) if own else None


def _exit_code(code: Any, state: str) -> str | None:
    status, returned = _state(_at(code, "status")), _number(_at(code, "return_code"))
    signal = _signal(code)
    if signal:
        return f"{int(returned or 0)}:{int(signal)}"
    if returned is None or (status == "SUCCESS" and state == "FAILED"):
        return None
    return f"{int(returned)}:0"


def _signal(code: Any) -> float | None:
    return _first(_number(_at(code, "signal", "signal_id")), _number(_at(code, "signal", "id")))


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _state(value: Any) -> str:
    """A text, or the first of a list of them (the others are flags of it)."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""


def _text(value: Any) -> str | None:
    return clean_text(value) or None if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """A number of 0 or more in either way of writing it; None for not set and infinite."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") and not value.get("infinite") else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value in _NO_NUMBER:
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= _LARGEST else None


def _time(value: Any) -> float | None:
    # 0 stands for "not yet".
    return _number(value) or None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _first(*choices: float | None) -> float | None:
    return next((choice for choice in choices if choice is not None), None)


def _largest(values: Any) -> float | None:
    return max((value for value in values if value is not None), default=None)
