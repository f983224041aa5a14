"""IBM Spectrum LSF's accounting log, `lsb.acct`: one JOB_FINISH record a finished job.

Figures: `maxRMem` is the largest resident memory of all processes of the job, in KB; where the record also tells it for
each host, their sum is taken if it is larger. The memory request is `rusage[mem=...]` of the resource requirement, MB
unless it has a unit, for each host unless `/task` or `/job` says otherwise (a site may set LSF to reserve per task:
then a parallel job asked for more than this reader tells). A time of 0 and a usage of -1 mean unknown. The memory limit
(`bsub -M`) and the GPU usage are not in fields that IBM documents, and are not read.

Source: IBM Spectrum LSF 10.1 Reference, "lsb.acct"; "bacct", termination reasons.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.lsf_record import parse
from crowdrun.data.sources.rows import FormatCheck, Row, positive, tables, whole
from crowdrun.data.sources.stream import decode, numbered_lines
from crowdrun.data.units import memory_mb

_DONE, _EXIT = 64, 32

#: `exitInfo` -> state; a reason that is not here (0: unknown) leaves FAILED.
TERMINATION: dict[int, str] = {
    1: "PREEMPTED",  # TERM_PREEMPT
    2: "CANCELLED",  # TERM_WINDOW: the queue's run window closed
    3: "CANCELLED",  # TERM_LOAD
    4: "CANCELLED",  # TERM_OTHER
    5: "TIMEOUT",  # TERM_RUNLIMIT
    6: "DEADLINE",  # TERM_DEADLINE
    7: "CANCELLED",  # TERM_PROCESSLIMIT
    8: "CANCELLED",  # TERM_FORCE_OWNER
    9: "CANCELLED",  # TERM_FORCE_ADMIN
    10: "REQUEUED",  # TERM_REQUEUE_OWNER
    11: "REQUEUED",  # TERM_REQUEUE_ADMIN
    12: "TIMEOUT",  # TERM_CPULIMIT
    13: "PREEMPTED",  # TERM_CHKPNT
    14: "CANCELLED",  # TERM_OWNER
    15: "CANCELLED",  # TERM_ADMIN
    16: "OUT_OF_MEMORY",  # TERM_MEMLIMIT
    17: "CANCELLED",  # TERM_EXTERNAL_SIGNAL
    19: "NODE_FAIL",  # TERM_ZOMBIE
    20: "OUT_OF_MEMORY",  # TERM_SWAP
    21: "CANCELLED",  # TERM_THREADLIMIT
    23: "CANCELLED",  # TERM_BUCKET_KILL
    25: "BOOT_FAIL",  # TERM_CWD_NOTEXIST
    26: "NODE_FAIL",  # TERM_REMOVE_HUNG_JOB
    27: "CANCELLED",  # TERM_ORPHAN_SYSTEM
    28: "BOOT_FAIL",  # TERM_PRE_EXEC_FAIL
    29: "BOOT_FAIL",  # TERM_DATA
    30: "REQUEUED",  # TERM_MC_RECALL
    31: "REQUEUED",  # TERM_RC_RECLAIM
}

_EVENT = re.compile(r'^"?([A-Z][A-Z_0-9]*)"? ')
_RUSAGE = re.compile(r"\brusage\s*\[([^\]]*)\]")
_MEM = re.compile(r"\bmem\s*=\s*([0-9.]+[KMGTPE]?B?)(?:/(\w+))?", re.IGNORECASE)
_GPUS = re.compile(r"\bngpus(?:_physical|_excl_p|_excl_t|_shared)?\s*=\s*([0-9]{1,6})(?:\.0*)?(?:/(\w+))?")
_GPU_MODEL = re.compile(r"\bgmodel\s*=\s*([\w.-]+)")
_ONE_HOST = re.compile(r"\bspan\s*\[[^\]]*\bhosts\s*=\s*1\b")
#: A shortened list of hosts writes 8*node1 for eight slots on it.
_SLOTS = re.compile(r"^\d+\*")


class LsfReader(LogReader):
    """`lsb.acct` of LSF 10.1, and of older releases as far as their shorter records go."""

    name = "lsf"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        yield from tables(self._rows(stream, report), report)

    def _rows(self, stream: BinaryIO, report: ReadReport) -> Iterator[Row]:
        check = FormatCheck(self.name, 'lines that begin with "JOB_FINISH"')
        for number, line in numbered_lines(stream, report):
            text = decode(line).strip()
            if not text or text.startswith("#"):
                continue
            event = _EVENT.match(text)
            if not event:
                check.unknown(text)
                report.reject(number, "not an lsb.acct record", text)
                continue
            check.known()
            if event[1] != "JOB_FINISH":
                report.skipped[f"{event[1]} record"] += 1
                continue
            try:
                yield _row(parse(text))
            except ValueError as error:
                report.reject(number, _reason(error), text)
        check.finish()


def _reason(error: ValueError) -> str:
    return "JOB_FINISH record that cannot be read: " + re.sub(r"'.*'|\d+", "...", str(error))


def _row(record: dict[str, list[str]]) -> dict[str, Any]:
    one = {name: values[0] for name, values in record.items() if values}
    job_id, submit = whole(one["job_id"]), positive(one["submit_time"])
    status = whole(one.get("j_status"))
    if not job_id or submit is None or status not in (_DONE, _EXIT):
        raise ValueError("no job id, submit time or final status")
    index = whole(one.get("index"))
    exit_status = whole(one.get("exit_status"))
    requirement = one.get("effective_res_req") or one.get("res_req", "")
    return {
        "job_id": f"{job_id}_{index}" if index else str(job_id),
        "user": one.get("user") or None,
        "account": one.get("project") or None,
        "partition": one.get("queue") or None,
        "qos": one.get("sla") or None,
        "job_name": one.get("job_name") or None,
        "command": one.get("command") or None,
        "work_dir": one.get("cwd") or None,
        "submit_time": submit,
        "start_time": positive(one["start_time"]) or None,
        "end_time": positive(one["event_time"]) or None,
        "timelimit_s": positive(one.get("run_limit")) or None,
        "state": "COMPLETED" if status == _DONE else TERMINATION.get(whole(one.get("exit_info")) or 0, "FAILED"),
        # A wait status (wait(2)): the exit code is the second byte, the signal the low seven bits.
        "exit_code": None if exit_status is None else f"{exit_status >> 8}:{exit_status & 127}",
        "peak_mem_mb": _peak_mb(record, one),
        **_requested(requirement, record, whole(one.get("num_processors"))),
    }


def _peak_mb(record: dict[str, list[str]], one: dict[str, str]) -> float | None:
    """The job's peak in MB; each host's usage is name, resident KB, virtual KB, user s, system s."""
    hosts = [value for value in map(positive, record.get("host_rusage", [])[1::5]) if value is not None]
    whole_job = positive(one.get("max_rmem"))
    known = [*([sum(hosts)] if hosts else []), *([whole_job] if whole_job is not None else [])]
    return max(known) / 1024 if known else None


def _requested(requirement: str, record: dict[str, list[str]], cpus: int | None) -> dict[str, Any]:
    """Totals of the job out of a resource requirement like `rusage[mem=4000.00,ngpus_physical=1.00] span[hosts=1]`."""
    hosts = len({_SLOTS.sub("", host) for host in record.get("exec_hosts", [])}) or 1
    factors = {"job": 1, "host": hosts, "task": cpus or 1}
    usage = " ".join(_RUSAGE.findall(requirement))
    mem, gpus, model = _MEM.search(usage), _GPUS.search(usage), _GPU_MODEL.search(usage)
    return {
        "req_nodes": 1 if _ONE_HOST.search(requirement) else None,
        "req_cpus": cpus or None,
        "req_mem_mb": memory_mb(mem[1]) * factors.get(mem[2] or "host", hosts) if mem else None,
        "req_gpus": int(gpus[1]) * factors.get(gpus[2] or "host", hosts) if gpus else None,
        "gpu_type": model[1] if model else None,
    }
