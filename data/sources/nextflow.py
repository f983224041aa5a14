"""Nextflow's trace files (`-with-trace`): comma- or tab-separated, raw or as people read them, columns by their names.

A row is one attempt at a task. The job id is the task's id, `ID.ATTEMPT` from the second attempt on. The job name is
the task's name, which tells it from its sisters; the *process* is what recurs, and goes to `command`: it is the best
key for sizing. A trace names no user. CACHED rows were not run and are skipped.

Leakage: `rchar`, `read_bytes`, `%cpu` and the like are known only after the run, and no column of the request is made
of them. Of what is known after the run only times, status, exit and `peak_rss` (all processes of the task) are read.

Source: Nextflow documentation, "Reports", trace file fields.
"""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from crowdrun.data.errors import LogFormatError
from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.nextflow_values import duration_s, known, size_mb, timestamp_s
from crowdrun.data.sources.rows import Row, optional, tables, whole
from crowdrun.data.sources.stream import decode, numbered_lines

#: A trace without these cannot be used (`trace.fields` chooses the columns).
REQUIRED = ("task_id", "status", "submit")

#: Status -> state; None: no run.
STATUS: dict[str, str | None] = {
    "NEW": "PENDING",
    "SUBMITTED": "PENDING",
    "RUNNING": "RUNNING",
    "COMPLETED": "COMPLETED",
    "FAILED": "FAILED",
    "ABORTED": "CANCELLED",
    "CACHED": None,
}

#: Exit code of a FAILED task -> state. 128 + n is death by signal n; nf-core pipelines retry these with more memory.
EXITS: dict[int, str] = {
    137: "OUT_OF_MEMORY",  # SIGKILL: the kernel's out-of-memory killer, by far the most frequent sender (a suspicion)
    140: "TIMEOUT",  # SIGUSR2: Grid Engine and LSF, over the run time
    143: "CANCELLED",  # SIGTERM: the scheduler or a person
}

_UTC_ADVICE = "times without a zone were taken as UTC; trace.raw = true in nextflow.config writes epoch milliseconds"


class NextflowReader(LogReader):
    """Trace files of Nextflow."""

    name = "nextflow"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        yield from tables(self._rows(stream, report), report)

    def _rows(self, stream: BinaryIO, report: ReadReport) -> Iterator[Row]:
        lines = (decode(line) for _, line in numbered_lines(stream, report))
        first = next(lines, "")
        tabs = "\t" in first
        quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        header = [name.strip() for name in next(_records(iter([first]), tabs, quoting, report), [])]
        missing = [name for name in REQUIRED if name not in header]
        if missing:
            raise LogFormatError(
                f"this log is not a Nextflow trace: its first line {first[:100]!r} has no column {', '.join(missing)}. "
                "Name its format with --format, or add the columns to trace.fields."
            )
        for values in _records(lines, tabs, quoting, report):
            if not values or values == header:
                continue
            if len(values) != len(header):
                report.reject(
                    report.lines, f"{len(values)} fields instead of the header's {len(header)}", ",".join(values)[:200]
                )
                continue
            yield from _task(dict(zip(header, values, strict=True)), report)


def _records(lines: Iterator[str], tabs: bool, quoting: int, report: ReadReport) -> Iterator[list[str]]:
    """Split lines; a quoted field may go on over lines, up to the csv module's limit (128 KiB)."""
    reader = csv.reader(lines, delimiter="\t" if tabs else ",", quoting=quoting)  # type: ignore[arg-type]
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report.reject(report.lines, f"not a line of a table: {error}", "")


def _task(task: dict[str, str], report: ReadReport) -> Iterator[Row]:
    values = {name: known(text) for name, text in task.items()}
    status = (values["status"] or "").upper()
    if status in STATUS and STATUS[status] is None:
        report.skipped["cached task"] += 1
        return
    try:
        submit = timestamp_s(values["submit"] or "")
    except (ValueError, OverflowError):
        submit = -1.0
    if not values["task_id"] or submit < 0 or status not in STATUS:
        report.reject(report.lines, "task without id, submit time or a known status", ",".join(task.values()))
        return
    if ":" in (values["submit"] or ""):
        report.advise(_UTC_ADVICE)
    yield _row(values, STATUS[status], submit, report)


def _row(values: dict[str, str | None], state: str | None, submit: float, report: ReadReport) -> dict[str, Any]:
    attempt, exit_code = whole(values.get("attempt")), whole(values.get("exit"))
    start = optional(report, "start", _moment, values.get("start"))
    end = optional(report, "complete", _moment, values.get("complete"))
    limit_s = optional(report, "time", duration_s, values.get("time"))
    if state == "FAILED" and exit_code in EXITS:
        elapsed_s = end - start if start is not None and end is not None else 0.0
        state = "TIMEOUT" if limit_s and elapsed_s >= limit_s else EXITS[exit_code]
    name = values.get("name")
    return {
        "job_id": f"{values['task_id']}.{attempt}" if attempt and attempt > 1 else values["task_id"],
        "partition": values.get("queue"),
        "job_name": name,
        # A trace without the process column still has it in the name: PROCESS (tag).
        "command": values.get("process") or (name.partition(" (")[0] if name else None),
        "work_dir": values.get("workdir"),
        "submit_time": submit,
        "start_time": start,
        "end_time": end,
        "req_cpus": whole(values.get("cpus")),
        "req_mem_mb": optional(report, "memory", size_mb, values.get("memory")),
        "timelimit_s": limit_s,
        "state": state,
        "exit_code": None if exit_code is None else str(exit_code),
        "peak_mem_mb": optional(report, "peak_rss", size_mb, values.get("peak_rss")),
    }


def _moment(text: str) -> float:
    try:
        return timestamp_s(text)
    except OverflowError as error:
        raise ValueError(str(error)) from error
