"""The way back: what ended in Slurm since last time, into the job history.

It keeps its place in a file and moves it only when the jobs before it are in the store: stopped at any moment it goes
on there, and what it reads twice changes nothing. The database may be behind: an hour is always read again, and while
the controller still has a backlog for slurmdbd (`sdiag`) the place is not moved at all.
"""

import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from crowdrun.api.sbatch import GATE_NAME
from crowdrun.api.slurm.collect_state import CollectState
from crowdrun.api.slurm.sacct_log import read_stretch
from crowdrun.data.kept_aside import admitted, guard_for, write_aside
from crowdrun.data.settings import Settings
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.states import STATES
from crowdrun.data.store import AddReport, JobStore
from crowdrun.data.unit_guard import UnitGuard
from crowdrun.training.launch.slurm_client import call

FIRST_TIME_S = 30 * 86_400.0
#: Read in one go, and what a stop in the middle reads again.
STRETCH_S = 86_400.0
#: Read again each time: slurmdbd writes seconds later, other clusters' controllers may be cut off for longer.
OVERLAP_S = 3_600.0
SOURCE = "sacct"
_ENDED = pa.array([name for name, state in STATES.items() if state.ended])


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What came of one collect."""

    new: int
    known: int
    rejected: int
    kept_aside: int
    jobs_in_store: int
    since: float
    until: float
    #: Messages that the controller has not yet given to slurmdbd; None where it does not say.
    backlog: int | None

    def text(self) -> str:
        """One line for a person."""
        first, last = (f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M}" for when in (self.since, self.until))
        aside = f", {self.kept_aside} kept aside (see crowdrun ingest --help)" if self.kept_aside else ""
        waiting = f"; slurmdbd is {self.backlog} messages behind: the same will be read again" if self.backlog else ""
        counts = f"{self.new} new, {self.known} known, {self.rejected} rejected{aside}"
        return f"{first} to {last} UTC: {counts}; {self.jobs_in_store} runs in the store{waiting}"


def collect(settings: Settings, *, since: float | None = None, trust_units: bool = False) -> Collected:
    """Read what ended since last time, or since a time in UTC epoch seconds.

    Raises:
        LogError: the accounting database gives no answer; what was read before is kept.
        StoreError, OutputError, ConfigError: the home folder or the store cannot be used.
    """
    state = CollectState.read(settings.home)
    now = time.time()
    start = since if since is not None else (state.until or now - FIRST_TIME_S) - OVERLAP_S
    backlog = _backlog()
    added, report, begin = AddReport(), ReadReport(), start
    aside = 0
    with JobStore.open(settings.store) as store:
        while begin < now:
            end = min(begin + STRETCH_S, now)
            tables = _wanted(read_stretch(begin, end, report), state)
            more, refused = _store(store, tables, settings, trust_units=trust_units)
            added, aside = added + more, aside + len(refused)
            reached = state.until if backlog else max(end, state.until or 0.0)
            state = CollectState(until=reached, aside=state.aside + refused)
            if state.until is not None:
                state.write(settings.home)
            begin = end
        jobs = store.count()
    return Collected(
        new=added.new, known=added.known, rejected=report.rejected.total(), kept_aside=aside, jobs_in_store=jobs,
        since=start, until=now, backlog=backlog,
    )  # fmt: skip


def _wanted(tables: Iterable[pa.Table], state: CollectState) -> Iterator[pa.Table]:
    """Jobs that have ended; neither the gates of our own retries nor what was kept aside before."""
    before = set(state.aside)
    for table in tables:
        ours = pc.fill_null(pc.equal(table["job_name"], GATE_NAME), fill_value=False)
        wanted = table.filter(pc.and_(pc.is_in(table["state"], _ENDED), pc.invert(ours)))
        keys = zip(wanted["job_id"].to_pylist(), wanted["submit_time"].to_pylist(), strict=True)
        yield wanted.filter(pa.array([key not in before for key in keys], pa.bool_())) if before else wanted


def _store(
    store: JobStore, tables: Iterable[pa.Table], settings: Settings, *, trust_units: bool
) -> tuple[AddReport, tuple[tuple[str, float | None], ...]]:
    """Add the tables; what was added, and the jobs that were kept aside for a unit error."""
    guard = UnitGuard() if trust_units else guard_for(store)
    added = store.add(tables if trust_units else admitted(tables, guard), source=SOURCE)
    refused = guard.take_refused()
    if refused:
        write_aside(refused, settings.home / "aside")
    return added, tuple((job["job_id"], job["submit_time"]) for job in refused)


def _backlog() -> int | None:
    try:
        answer = call(["sdiag"], timeout_s=30.0)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"DBD Agent queue size:\s*(\d+)", answer.stdout)
    return int(found[1]) if found else None
