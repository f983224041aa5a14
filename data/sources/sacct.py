"""Reads Slurm's accounting as `sacct -P` writes it, with any `--format` that has JobID, in its steps and jobs.

A job and its steps are neighbours; the steps are joined to the job (`sacct_steps.py`). With `-D` each run of a requeued
job is a row of its own, with its own start. Times are written in the local time of the cluster and without a zone
(`man sacct`, SLURM_TIME_FORMAT): they are taken as UTC unless `timezone` says otherwise.

Best made with: sacct -a -P -D --format=JobID,User,Group,Account,Partition,QOS,JobName,State,ExitCode,ReqMem,ReqCPUS,\
ReqTRES,AllocTRES,NNodes,NTasks,MaxRSS,TRESUsageInTot,TRESUsageInMax,Elapsed,Timelimit,Submit,Start,End,WorkDir
"""

from collections.abc import Iterator
from typing import BinaryIO
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import ConfigError
from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.sacct_layout import JOB_ID, Layout, from_first_line
from crowdrun.data.sources.sacct_lines import Block, LineBlocks
from crowdrun.data.sources.sacct_request import Request, requested
from crowdrun.data.sources.sacct_steps import REQUEUED, JobUsage, join_steps
from crowdrun.data.sources.sacct_values import Columns, Floats
from crowdrun.data.sources.stream import MAX_LINE_BYTES, decode
from crowdrun.data.states import STATES, normalise
from crowdrun.data.units import duration_s

NEVER_STARTED = "no node was assigned: the start is emptied"
_JOB_OR_STEP = rf"^{JOB_ID}(\.[A-Za-z0-9_+]+)?$"
_PEAK_FIELDS = ("maxrss", "tresusageintot", "averss")


class SacctReader(LogReader):
    """Reads sacct output."""

    name = "sacct"

    def __init__(self, timezone: str = "UTC") -> None:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ConfigError(f"time zone {timezone!r} is not known; write it like Europe/Berlin or UTC") from error
        self._timezone = timezone

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        first = stream.readline(MAX_LINE_BYTES)
        layout = from_first_line(decode(first).removeprefix("\ufeff").rstrip("\r\n"))
        report.lines = 1
        missing = [name for name in ("State", "Submit", "Start", "End") if layout.position(name) is None]
        if missing:
            report.advise(f"the log has no {', '.join(missing)}: add it to --format, little can be learnt without")
        steps = 0
        peaks = any(layout.position(name) is not None for name in _PEAK_FIELDS)
        for block in LineBlocks(layout, report, first=b"" if layout.has_header else first).blocks(stream):
            table, block_steps = self._table(block, layout, report)
            steps += block_steps
            report.jobs += table.num_rows
            yield table
        if not peaks:
            report.advise("the log has no memory peaks: add MaxRSS,NTasks,TRESUsageInTot to --format")
        elif report.jobs and not steps:
            report.advise("the log was made with -X: it has no steps, and the memory peaks are theirs; leave -X out")

    def _table(self, block: Block, layout: Layout, report: ReadReport) -> tuple[pa.Table, int]:
        columns = Columns(block, layout, self._timezone, report)
        id_field = layout.names[layout.job_id]
        is_job, is_step, owner = _structure(columns, id_field, block, layout, report)
        jobs, steps = columns.filter(is_job), columns.filter(is_step)
        request = requested(jobs, report)
        usage = join_steps(jobs, steps, owner, request.mem_mb, report)
        return _canonical(jobs, id_field, request, usage, report), len(steps)


def _structure(
    columns: Columns, id_field: str, block: Block, layout: Layout, report: ReadReport
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows are jobs, which are steps of one of them, and of which (its place among the jobs)."""
    ids = columns.raw(id_field)
    valid = np.asarray(pc.match_substring_regex(ids, _JOB_OR_STEP))
    states = columns.mapped("state", lambda text: normalise(text) is not None, True)
    has_dot = np.asarray(pc.match_substring(ids, "."))
    is_job = valid & ~has_dot & states
    is_step = valid & has_dot
    owner = np.cumsum(is_job) - 1
    job_ids = ids.filter(pa.array(is_job))
    if is_step.any():
        owned = is_step & (owner >= 0)
        names = pc.list_element(pc.split_pattern(ids.filter(pa.array(owned)), ".", max_splits=1), 0)
        owned[owned] = np.asarray(pc.equal(names, job_ids.take(pa.array(owner[owned]))))
        orphans, is_step = is_step & ~owned, owned
    else:
        orphans = is_step
    _reject(orphans, "step without its job", block, report)
    _reject(valid & ~has_dot & ~states, "unknown state", block, report)
    if not valid.all():
        # Outputs that were put one after the other repeat the header.
        header = np.asarray(pc.equal(pc.utf8_lower(ids), id_field)) & layout.has_header
        _reject(~valid & ~header, "not a job id", block, report)
    return is_job, is_step, owner[is_step]


def _reject(rows: NDArray[np.bool_], reason: str, block: Block, report: ReadReport) -> None:
    if not rows.any():
        return
    lines = block.data.split(b"\n")
    for at in np.flatnonzero(rows):
        report.reject(int(block.numbers[at]), reason, decode(lines[at]))


def _canonical(jobs: Columns, id_field: str, request: Request, usage: JobUsage, report: ReadReport) -> pa.Table:
    states = jobs.mapped("state", lambda text: normalise(text) or "", np.array("", dtype="U16"))
    report.repaired[REQUEUED] += int((states == "REQUEUED").sum())
    states[usage.out_of_memory] = "OUT_OF_MEMORY"
    start, end = _run_times(jobs, states, report)
    values: dict[str, pa.Array] = {
        "job_id": jobs.text(id_field),
        **{name: jobs.text(name) for name in ("user", "group", "account", "partition", "qos")},
        "job_name": jobs.text("jobname"),
        "command": jobs.text("submitline"),
        "work_dir": jobs.text("workdir"),
        "submit_time": _number(jobs.times("submit")),
        "start_time": _number(start),
        "end_time": _number(end),
        "req_nodes": _whole(request.nodes),
        "req_cpus": _whole(request.cpus),
        "req_mem_mb": _number(request.mem_mb),
        "req_gpus": _whole(request.gpus),
        "gpu_type": request.gpu_type,
        "timelimit_s": _number(request.timelimit_s),
        "state": pc.if_else(pc.equal(pa.array(states), ""), None, pa.array(states)),
        "exit_code": jobs.text("exitcode"),
        "peak_mem_mb": _number(usage.peak_mem_mb),
        "alloc_gpus": _whole(request.alloc_gpus),
        "peak_gpu_mem_mb": _number(usage.peak_gpu_mem_mb),
        "gpu_util": _number(usage.gpu_util),
    }
    arrays = [values.get(field.name, pa.nulls(len(jobs), field.type)) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _run_times(jobs: Columns, states: NDArray[np.str_], report: ReadReport) -> tuple[Floats, Floats]:
    start, end = jobs.times("start"), jobs.times("end")
    ended = np.isin(states, [name for name, state in STATES.items() if state.ended])
    open_end = np.isnan(end) & ended
    if open_end.any():
        end = np.where(open_end, start + _elapsed_s(jobs), end)
    # Cancelled while it waited: older versions put the time of cancelling into Start.
    nowhere = jobs.mapped("nodelist", lambda text: text == "None assigned", False) & ended & ~np.isnan(start)
    report.repaired[NEVER_STARTED] += int(nowhere.sum())
    return np.where(nowhere, np.nan, start), end


def _elapsed_s(jobs: Columns) -> Floats:
    elapsed = jobs.mapped("elapsed", lambda text: duration_s(_with_seconds(text)), np.nan)
    return np.where(np.isnan(elapsed), jobs.mapped("elapsedraw", float, np.nan), elapsed)


def _with_seconds(text: str) -> str:
    """Elapsed is [D-]HH:MM:SS, and MM:SS.mmm in short; a bare number would be minutes."""
    return text if ":" in text else f"00:00:{text}"


def _number(values: Floats) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _whole(values: Floats) -> pa.Array:
    unknown = ~np.isfinite(values)
    return pa.array(np.where(unknown, 0, values).astype(np.int64), mask=unknown)
