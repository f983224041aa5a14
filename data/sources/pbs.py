"""Accounting logs of Torque and PBS Professional: one line an event, `MM/DD/YYYY HH:MM:SS;TYPE;ID;key=value ...`.

Read: `E` (a job ended) and those `R` (a run was given up and requeued) that carry figures; both servers write all that
a job asked for and used into the one line. Other events (queued, started, deleted, licences, reservations) say nothing
that the `E` line does not, and are counted as skipped. A job that was deleted while it waited has no `E` line: it
never ran. `ctime` is the submission; `resources_used.mem` is the peak over all processes of the job, on all its nodes.

The job id is the number alone, without the server; an array task is NUMBER_INDEX.

Sources: Torque 6.1.2 Administrator Guide, "Accounting records"; PBS Professional Administrator's Guide, "Accounting".
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.pbs_exit import state_of
from crowdrun.data.sources.pbs_request import Request, size_mb, total_request, walltime_s
from crowdrun.data.sources.rows import FormatCheck, Row, optional, positive, tables, whole
from crowdrun.data.sources.stream import decode, numbered_lines

_RECORD = re.compile(r"^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d(?:\.\d+)?;(\w+);([^;]*);(.*)$", re.DOTALL)
#: The keys that both servers write; a value goes on, blanks included, until the next of them.
_KEY = re.compile(
    r"(?:^| )((?:Resource_List|resources_used|resources_req)\.\w+|user|group|account|project|jobname|queue|qos|ctime|"
    r"qtime|etime|start|end|owner|requestor|exec_host|exec_vnode|exec_gpus|login_node|session|alt_id|run_count|"
    r"total_execution_slots|unique_node_count|accounting_id|array_indices|resvname|resvID|eligible_time|"
    r"run_version|pcap_\w+|Exit_status)="
)
_ARRAY_TASK = re.compile(r"^(\d+)(?:\[(\d+)\]|-(\d+))$")
#: Keys that only PBS Professional writes.
_PRO = frozenset({"exec_vnode", "run_count", "project", "Resource_List.select", "Resource_List.place"})
#: PBS Professional's name for "no project".
_NO_PROJECT = "_pbs_project_default"
_NGPUS = re.compile(r"\bngpus=(\d{1,6})\b")

#: What the one-letter events are, for the counts (`E` and `R` are read).
EVENTS: dict[str, str] = {
    "A": "job aborted by the server",
    "B": "reservation began",
    "C": "job checkpointed",
    "D": "job deleted by a request",
    "F": "reservation ended",
    "K": "reservation removed",
    "L": "licences",
    "M": "job moved to another server",
    "P": "provisioning began",
    "Q": "job queued",
    "S": "job started",
    "T": "job restarted",
    "U": "reservation requested",
    "Y": "reservation confirmed",
    "a": "job altered",
    "c": "job's allocation changed",
    "e": "part of a run ended",
    "k": "reservation removed by a user",
    "p": "provisioning ended",
    "s": "secondary start",
    "u": "part of a run",
    "z": "job handed back",
}


class PbsReader(LogReader):
    """Torque's and PBS Professional's accounting files (`server_priv/accounting/YYYYMMDD`)."""

    name = "pbs"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        yield from tables(self._rows(stream, report), report)

    def _rows(self, stream: BinaryIO, report: ReadReport) -> Iterator[Row]:
        check = FormatCheck(self.name, "lines like 10/16/2017 06:36:31;E;523110.server;user=...")
        for number, line in numbered_lines(stream, report):
            text = decode(line).strip()
            if not text:
                continue
            record = _RECORD.match(text)
            if not record:
                check.unknown(text)
                report.reject(number, "not an accounting record", text)
                continue
            check.known()
            event, job_id, message = record.groups()
            fields = parse_message(message) if event in ("E", "R") else {}
            if event not in ("E", "R") or (event == "R" and "start" not in fields):
                report.skipped[EVENTS.get(event, "requeue without figures" if event == "R" else "other event")] += 1
            elif "[]" in job_id:
                report.skipped["summary of a job array"] += 1
            elif (row := _row(event, job_id, fields, report)) is None:
                report.reject(number, "record without id, ctime, start and end in epoch seconds", text)
            else:
                yield row
        check.finish()


def parse_message(message: str) -> dict[str, str]:
    """The `key=value` pairs of a record's last part, in which values may hold blanks and equal signs.

    >>> parse_message("user=ada jobname=a start=5 b queue=q ctime=1 start=2")["jobname"]
    'a start=5 b'
    >>> parse_message('user=ada project="deep nets" jobname=x queue=q ctime=1 start=2')["project"]
    'deep nets'
    """
    fields: dict[str, str] = {}
    # Both servers write the queue right after the name, so a name goes on until there whatever it holds.
    start, end = f" {message}".find(" jobname="), message.rfind(" queue=")
    if 0 <= start < end:
        fields["jobname"] = _unquoted(message[start:end].partition("=")[2])
        message = message[:start] + message[end:]
    found = list(_KEY.finditer(message))
    ends = [key.start() for key in found[1:]] + [len(message)]
    for key, end in zip(found, ends, strict=False):
        fields.setdefault(key[1], _unquoted(message[key.end() : end].strip()))
    return fields


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _row(event: str, job_id: str, fields: dict[str, str], report: ReadReport) -> dict[str, Any] | None:
    submit, start, end = (positive(fields.get(key)) for key in ("ctime", "start", "end"))
    number = job_id.partition(".")[0]
    if not number or submit is None or start is None or (end is None and event == "E"):
        return None
    request = _request(fields, report)
    return {
        "job_id": _canonical_id(number),
        "user": fields.get("user"),
        "group": fields.get("group"),
        "account": fields.get("account") or _project(fields),
        "partition": fields.get("queue"),
        "qos": fields.get("qos") or fields.get("Resource_List.qos"),
        "job_name": fields.get("jobname"),
        "submit_time": submit,
        "start_time": start,
        "end_time": end,
        "req_nodes": request.nodes if request else None,
        "req_cpus": request.cpus if request else None,
        "req_mem_mb": request.mem_mb if request else None,
        "req_gpus": request.gpus if request else None,
        "gpu_type": request.gpu_type if request else None,
        "timelimit_s": request.timelimit_s if request else None,
        "state": _state(event, fields, request, end - start if end is not None else 0.0),
        "exit_code": fields.get("Exit_status"),
        "peak_mem_mb": optional(report, "resources_used.mem", size_mb, fields.get("resources_used.mem")),
        "alloc_gpus": _allocated_gpus(fields),
    }


def _canonical_id(number: str) -> str:
    task = _ARRAY_TASK.match(number)
    return f"{task[1]}_{task[2] or task[3]}" if task else number


def _project(fields: dict[str, str]) -> str | None:
    project = fields.get("project")
    return None if project == _NO_PROJECT else project


def _request(fields: dict[str, str], report: ReadReport) -> Request | None:
    prefix = "Resource_List."
    resources = {key.removeprefix(prefix): value for key, value in fields.items() if key.startswith(prefix)}
    try:
        request = total_request(resources)
    except ValueError:
        request = None
    if request and all(value is None or 0 <= value < 2**53 for value in _figures(request)):
        return request
    report.repaired["Resource_List that cannot be read taken as unknown"] += 1
    return None


def _figures(request: Request) -> tuple[float | None, ...]:
    return request.nodes, request.cpus, request.gpus, request.mem_mb, request.timelimit_s


def _state(event: str, fields: dict[str, str], request: Request | None, elapsed_s: float) -> str | None:
    if event == "R":
        return "REQUEUED"
    try:
        status = int(fields.get("Exit_status", ""))
        used_s = walltime_s(fields["resources_used.walltime"]) if "resources_used.walltime" in fields else elapsed_s
    except ValueError:
        return None
    limit_s = request.timelimit_s if request else None
    return state_of(status, pro=not _PRO.isdisjoint(fields), over_time=limit_s is not None and used_s >= limit_s)


def _allocated_gpus(fields: dict[str, str]) -> int | None:
    """Torque lists `node-gpu/0+node-gpu/1`, PBS Professional `(node:ncpus=4:ngpus=1)+(...)`."""
    if fields.get("exec_gpus"):
        return fields["exec_gpus"].count("+") + 1
    found = _NGPUS.findall(fields.get("exec_vnode", ""))
    return sum(map(int, found)) if found else whole(fields.get("resources_used.ngpus"))
