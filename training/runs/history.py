"""The runs that there were, from their folders: the newest first, also those that never came to their end."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crowdrun.data.errors import LaunchError
from crowdrun.training.launch.own_job import OwnJob
from crowdrun.training.rank_files import PROGRESS_FILE
from crowdrun.training.runs.records import OUTCOME_FILE, PLAN_FILE
from crowdrun.training.supervision.order import samples_file, whole_lines

#: What `new_run_folder` makes.
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+")
#: A supervisor writes a sample a second; without one for so long it is gone.
SILENT_S = 30.0
RUNNING, LOST = "RUNNING", "LOST"


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run in a line."""

    run_id: str
    job_name: str | None
    user: str | None
    #: When it was planned, UTC epoch seconds.
    started: float
    #: A state of `data/states.py`; RUNNING while it is measured, LOST where it ended without a word.
    state: str
    cause: str | None
    attempts: int
    run_time_s: float | None
    peak_mem_mb: float | None
    peak_gpu_mem_mb: float | None
    #: Of a task: its network, strategy and ranks, and the scores of the test set.
    model: str | None
    strategy: str | None
    ranks: int | None
    scores: Mapping[str, float]


def read_runs(runs_dir: Path) -> Iterator[dict[str, Any]]:
    """The records of all runs, the newest first; a folder that holds none is passed over.

    Each is what `RunRecord.to_json` wrote last: after each attempt, else the plan alone.
    """
    for folder in run_folders(runs_dir):
        record = _read(folder)
        if record is not None:
            yield record


def begun_by(job: OwnJob, name: str, runs_dir: Path) -> dict[str, Any] | None:
    """The record of the run of that name that an earlier start of a Slurm job began, or went on with; the newest."""
    for record in read_runs(runs_dir):
        begun_in = record.get("slurm_job")
        if begun_in and record["request"]["job_name"] == name and job.is_later_start_of(begun_in):
            return record
    return None


def run_folders(runs_dir: Path) -> list[Path]:
    """The folders of runs, the newest first."""
    folders = runs_dir.iterdir() if runs_dir.is_dir() else iter(())
    return sorted((folder for folder in folders if RUN_ID.fullmatch(folder.name)), reverse=True)


def read_run(runs_dir: Path, run_id: str) -> dict[str, Any]:
    """The record of one run; the beginning of its id is enough where it is the only one with it.

    Raises:
        LaunchError: there is no such run, or several; says what to do.
    """
    found = [folder for folder in run_folders(runs_dir) if folder.name.startswith(run_id)]
    exact = [folder for folder in found if folder.name == run_id]
    if len(exact or found) != 1:
        how_many = f"{len(found)} runs in {runs_dir} begin" if found else f"no run in {runs_dir} begins"
        raise LaunchError(f"{how_many} with {run_id!r}; 'crowdrun runs' lists them")
    record = _read((exact or found)[0])
    if record is None:
        raise LaunchError(f"{(exact or found)[0]} holds no record: it was killed before it had a plan")
    return record


def _read(folder: Path) -> dict[str, Any] | None:
    for name in (OUTCOME_FILE, PLAN_FILE):
        try:
            return dict(json.loads((folder / name).read_text("utf-8"))) | {"folder": str(folder)}
        except (OSError, ValueError):
            continue
    return None


def summary_of(record: Mapping[str, Any]) -> RunSummary:
    """The line of a record."""
    request, attempts, result = record["request"], record.get("attempts") or [], record.get("result") or {}
    outcomes = [attempt["outcome"] for attempt in attempts]
    times = [(one["end_time"] or 0.0) - (one["start_time"] or 0.0) for one in outcomes if one["end_time"]]
    state, cause = _state(record)
    return RunSummary(
        run_id=record["run_id"],
        job_name=request["job_name"],
        user=request["user"],
        started=_planned(record["run_id"]),
        state=state,
        cause=cause,
        attempts=max(len(attempts), len(attempt_folders(record))),
        run_time_s=sum(times) if times else None,
        peak_mem_mb=max((one["peak_mem_mb"] for one in outcomes if one["peak_mem_mb"]), default=None),
        peak_gpu_mem_mb=max((one["peak_gpu_mem_mb"] for one in outcomes if one["peak_gpu_mem_mb"]), default=None),
        model=request["model"],
        strategy=(result.get("strategy") or {}).get("name"),
        ranks=len(result["ranks"]) if result.get("ranks") else None,
        scores=result.get("scores", {}),
    )


def _planned(run_id: str) -> float:
    """
    >>> _planned("20260102T030405Z-digits-ab12")
    1767323045.0
    """
    return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _state(record: Mapping[str, Any]) -> tuple[str, str | None]:
    """The last attempt's, unless another is under way."""
    attempts, folders = record.get("attempts") or [], attempt_folders(record)
    if len(folders) > len(attempts) or not attempts:
        return (RUNNING, None) if folders and _is_measured(folders[-1]) else (LOST, "it ended without a word")
    return attempts[-1]["outcome"]["state"] or "UNKNOWN", attempts[-1]["cause"]


def attempt_folders(record: Mapping[str, Any]) -> list[Path]:
    """The folders of the attempts, the first first."""
    found = [folder for folder in Path(record["folder"]).glob("attempt-*") if folder.name[8:].isdigit()]
    return sorted(found, key=lambda folder: int(folder.name[8:]))


def _is_measured(folder: Path) -> bool:
    try:
        return time.time() - samples_file(folder, 0).stat().st_mtime < SILENT_S
    except OSError:
        return False


def epochs_of(folder: Path) -> list[dict[str, Any]]:
    """What rank 0 of a task told after each epoch of an attempt: epoch, loss, samples a second."""
    return [json.loads(line) for line in whole_lines(folder / PROGRESS_FILE, size=2**24)]
