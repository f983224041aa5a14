"""The folder of a run, and the record that tells its story.

RUN_ID/
    job.json        the job, from which `crowdrun run --resume` goes on
    checkpoints/    the state of its training (`checkpoints/folder.py`)
    plan.json       what was asked for, recommended and planned
    given-1.json    what an attempt was given of it
    outcome.json    the whole record: each attempt, how it ended, what it held
    attempt-1/      output, samples of memory, reports, logs of the ranks
"""

import fcntl
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import LaunchError
from crowdrun.data.job import JobOutcome, JobRequest, Recommendation
from crowdrun.training.launch.own_job import OwnJob
from crowdrun.training.planning.plan import Plan

#: State -> exit status: 128 + SIGKILL and SIGINT as a shell says it, and that of `man 1 timeout`.
STOPPED_STATUS = {"OUT_OF_MEMORY": 137, "TIMEOUT": 124, "CANCELLED": 130}

PLAN_FILE, OUTCOME_FILE = "plan.json", "outcome.json"
#: Locked (flock) by the process that runs it.
LOCK_FILE = "lock"


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One attempt: what it was given, and what came of it."""

    number: int
    request: JobRequest
    outcome: JobOutcome
    cause: str | None
    status: int


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The story of a run."""

    run_id: str
    folder: Path
    #: What the person asked for.
    request: JobRequest
    recommendation: Recommendation | None
    plan: Plan
    #: Where it ran, as far as forecasts are concerned.
    site: str = ""
    #: The Slurm job whose script ran `crowdrun run`, begun again it finds its run by this; None outside one.
    slurm_job: OwnJob | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    #: What rank 0 of a task reported: losses, scores, parameters, memory of each rank.
    result: Mapping[str, Any] | None = None
    #: It was told to leave with more to do.
    goes_on: bool = False

    @property
    def last(self) -> AttemptRecord:
        return self.attempts[-1]

    @property
    def status(self) -> int:
        """Exit status for a shell: that of the last attempt's command, or what says that it was stopped."""
        stopped = STOPPED_STATUS.get(self.last.outcome.state or "")
        return stopped or (0 if self.last.outcome.state == "COMPLETED" else self.last.status or 1)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, default=str)


def new_run_folder(runs_dir: Path, name: str, *, now: datetime | None = None) -> Path:
    """Make the folder of a new run; its name is the run's id.

    Raises:
        LaunchError: it cannot be made.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "run"
    folder = runs_dir / f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}-{slug}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise LaunchError(
            f"cannot make {folder}: {error.strerror}; set --home to a place that can be written"
        ) from error
    return folder


@contextmanager
def under_way(folder: Path) -> Iterator[None]:
    """Hold a run, so that nobody goes on with it at the same time.

    Raises:
        LaunchError: somebody holds it.
    """
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LaunchError(f"{folder.name} is still under way; end it first, or wait") from error
        yield


def read_attempts(folder: Path) -> tuple[AttemptRecord, ...]:
    """The attempts of a run that has been under way; none where nothing was written yet."""
    try:
        told = json.loads((folder / OUTCOME_FILE).read_text())["attempts"]
    except (OSError, ValueError, KeyError):
        return ()
    return tuple(
        AttemptRecord(**{**one, "request": JobRequest(**one["request"]), "outcome": JobOutcome(**one["outcome"])})
        for one in told
    )


def last_number(folder: Path) -> int:
    """Of the last attempt that was started, also where it left no record; 0 before the first."""
    numbers = [path.name.removeprefix("attempt-") for path in folder.glob("attempt-*")]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def write_record(record: RunRecord, *, name: str = OUTCOME_FILE) -> None:
    """Replace the record on the disk."""
    write_atomically(record.folder / name, record.to_json().encode())
