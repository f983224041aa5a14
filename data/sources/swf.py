"""The Standard Workload Format 2.2 of the Parallel Workloads Archive: 18 numbers a line, `;` comments, -1 for unknown.

Memory fields are KB for each processor, so both are multiplied by the processors. The used memory is an average over
the processors of what the original log told, not always a peak: the report says so. Times are seconds after
`UnixStartTime` of the header. Lines of parts of a run (status 2, 3 and 4) stand beside the job's own line and are
skipped. Users, groups, programs and queues are numbers; the program's number goes to `command`.

Source: D. Feitelson, "The Standard Workload Format", https://www.cs.huji.ac.il/labs/parallel/workload/swf.html
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.rows import FormatCheck, Row, positive, tables, whole
from crowdrun.data.sources.stream import decode, numbered_lines

FIELDS: tuple[str, ...] = (
    *("job_id", "submit", "wait_s", "run_s", "allocated", "cpu_s", "used_kb", "requested", "time_limit_s"),
    *("requested_kb", "status", "user", "group", "program", "queue", "partition", "preceding_job", "think_s"),
)

#: Status -> state; None is a part of a run.
STATUS: dict[int, str | None] = {0: "FAILED", 1: "COMPLETED", 2: None, 3: None, 4: None, 5: "CANCELLED"}

_START = re.compile(r"^;\s*UnixStartTime:\s*(\d+)", re.IGNORECASE)


class SwfReader(LogReader):
    """Logs of the Parallel Workloads Archive."""

    name = "swf"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        yield from tables(self._rows(stream, report), report)

    def _rows(self, stream: BinaryIO, report: ReadReport) -> Iterator[Row]:
        check = FormatCheck(self.name, "18 numbers a line and header comments that begin with ;")
        epoch: float | None = None
        for number, line in numbered_lines(stream, report):
            text = decode(line).strip()
            if not text:
                continue
            if text.startswith(";"):
                header = _START.match(text)
                epoch = positive(header[1]) if header else epoch
                continue
            values = text.split()
            if len(values) != len(FIELDS):
                check.unknown(text)
                report.reject(number, f"{len(values)} fields instead of {len(FIELDS)}", text)
                continue
            row = _row(dict(zip(FIELDS, values, strict=True)), epoch or 0.0, report)
            if row is None:
                check.unknown(text)
                report.reject(number, "line without a job number and a submit time", text)
                continue
            check.known()
            if epoch is None:
                report.advise("no UnixStartTime in the header: times are seconds after the start of the log")
            if row:
                yield row
        check.finish()


def _row(values: dict[str, str], epoch: float, report: ReadReport) -> dict[str, Any] | None:
    """The job of a line; empty for a part of a run, None for a line that cannot be used."""
    job_id, submit, status = whole(values["job_id"]), positive(values["submit"]), whole(values["status"])
    if job_id is None or submit is None:
        return None
    if status is not None and STATUS.get(status, "") is None:
        report.skipped["part of a run"] += 1
        return {}
    allocated, requested = whole(values["allocated"]), whole(values["requested"])
    wait_s, run_s = positive(values["wait_s"]), positive(values["run_s"])
    start = None if wait_s is None else epoch + submit + wait_s
    peak_mb = _total_mb(values["used_kb"], allocated or requested)
    if peak_mb is not None:
        report.advise("SWF tells the average memory of the processors, which may lie below the peak")
    return {
        "job_id": str(job_id),
        "user": _name(values["user"]),
        "group": _name(values["group"]),
        "partition": _name(values["queue"]) or _name(values["partition"]),
        "command": _name(values["program"]),
        "submit_time": epoch + submit,
        "start_time": start,
        "end_time": None if start is None or run_s is None else start + run_s,
        "req_cpus": requested or allocated or None,
        "req_mem_mb": _total_mb(values["requested_kb"], requested or allocated),
        "timelimit_s": positive(values["time_limit_s"]) or None,
        "state": None if status is None else STATUS.get(status),
        "peak_mem_mb": peak_mb,
    }


def _total_mb(kb_each: str, processors: int | None) -> float | None:
    each = positive(kb_each)
    return None if each is None or not processors else each * processors / 1024


def _name(text: str) -> str | None:
    return None if text.startswith("-") else text
