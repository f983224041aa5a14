"""Attempts whose runner was killed before it wrote down how they ended: what is left of them tells.

A supervisor sees that its runner is gone, ends the job and leaves its report. Where it was killed as well, its samples
say how long it went on and what was held.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

from crowdrun.data.durable import write_atomically
from crowdrun.data.job import JobRequest
from crowdrun.training.launch.base import mark_of
from crowdrun.training.runs.outcome import outcome_of, read_reports
from crowdrun.training.runs.records import AttemptRecord, RunRecord, last_number
from crowdrun.training.supervision import ending
from crowdrun.training.supervision.order import last_sample, samples_file

#: What an attempt was given, in the folder of its run; written before it starts.
GIVEN_FILE = "given-{number}.json"
#: As the kernel ends a process that nobody may catch.
_KILLED = "0:9"


def write_given(folder: Path, number: int, request: JobRequest) -> None:
    """Keep what an attempt is given."""
    write_atomically(folder / GIVEN_FILE.format(number=number), json.dumps(asdict(request)).encode())


def lost_attempts(record: RunRecord, *, nodes: int) -> list[AttemptRecord]:
    """A record for each attempt of a run that was started and has none, in their order; nothing of it runs any more."""
    known = {attempt.number for attempt in record.attempts}
    numbers = (number for number in range(1, last_number(record.folder) + 1) if number not in known)
    return [_read(record, number, nodes) for number in numbers if (record.folder / f"attempt-{number}").is_dir()]


def _read(record: RunRecord, number: int, nodes: int) -> AttemptRecord:
    folder = record.folder / f"attempt-{number}"
    reports = read_reports(folder, nodes)
    if len(reports) == nodes:
        worst = max(reports, key=lambda report: (report.cause is not None, report.exit_code))
        start, end = min(report.start_time for report in reports), max(report.end_time for report in reports)
        state, cause, exit_code = worst.state, worst.cause, f"{worst.exit_code}:{worst.signal}"
        status = ending.shell_status(worst.exit_code, worst.signal)
        cause = ending.RUNNER_LOST if cause == ending.CANCELLED else cause
    else:
        start, end = _span(folder)
        state, cause, exit_code = ending.STATES_OF_CAUSES[ending.LOST], ending.LOST, _KILLED
        status = ending.shell_status(0, 9)
    request = _given(record, number, start)
    return AttemptRecord(
        number=number,
        request=request,
        outcome=outcome_of(
            folder, nodes=nodes, start_time=start, end_time=end, state=state, exit_code=exit_code,
            alloc_gpus=request.req_gpus,
        ),
        cause=cause,
        status=status,
    )  # fmt: skip


def _span(folder: Path) -> tuple[float, float]:
    """When it was first and last seen, Unix times, s."""
    seen = last_sample(folder, 0)
    last_s = (samples_file(folder, 0) if seen else folder).stat().st_mtime
    return last_s - (seen.time_s if seen else 0.0), last_s


def _given(record: RunRecord, number: int, start: float) -> JobRequest:
    """The same each time, so that the store knows it again."""
    try:
        told = JobRequest(**json.loads((record.folder / GIVEN_FILE.format(number=number)).read_text()))
    except (OSError, ValueError, TypeError):
        told = replace(record.request, submit_time=start)
    return replace(told, job_id=mark_of(record.run_id, number))
