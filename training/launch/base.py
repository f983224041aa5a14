"""The contract of a launcher: it carries one attempt to its end, somewhere."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from crowdrun.data.job import JobOutcome
from crowdrun.training.job import Job
from crowdrun.training.planning.plan import Machine, Plan

#: Called about twice a second while an attempt is under way.
Tick = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try of a job with so much memory."""

    run_id: str
    #: 1 is the first.
    number: int
    job: Job
    plan: Plan
    #: Host memory, MB, total of the job; None sets no limit.
    mem_mb: float | None
    #: For what it leaves; made by the launcher.
    folder: Path

    @property
    def mark(self) -> str:
        """Names the attempt: in the store, and on its processes."""
        return mark_of(self.run_id, self.number)


def mark_of(run_id: str, number: int) -> str:
    """
    >>> mark_of("20260102T030405Z-digits-1a2b", 2)
    '20260102T030405Z-digits-1a2b.2'
    """
    return f"{run_id}.{number}"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an attempt ended."""

    #: The scheduler's id, else the attempt's mark.
    job_id: str
    #: As the scheduler knows it, so that its own log tells of the same run; None where it says nothing.
    submit_time: float | None = None
    outcome: JobOutcome
    #: Why, in words; None for one that completed.
    cause: str | None
    #: Exit status as a shell gives it.
    status: int


class Launcher(ABC):
    """One place to run. Stateless between attempts; passes `tests/training/launch/test_launchers.py`."""

    name: ClassVar[str]
    #: The runner was told that its time is nearly over, and its task with it: no other attempt is started here.
    told_to_leave: bool = False

    def listening(self) -> AbstractContextManager[None]:
        """As long as it lasts the runner lives through the signal that says so."""
        return nullcontext()

    @abstractmethod
    def machine(self) -> Machine:
        """What a plan must know of the place."""

    @abstractmethod
    def text(self, attempt: Attempt) -> str:
        """What would be executed, for a person to read. Pure: nothing is made or started."""

    def see_off(self, mark: str) -> None:  # noqa: B027
        """Before a run goes on whose runner was killed: until nothing of its last attempt runs here any more."""

    @abstractmethod
    def run(self, attempt: Attempt, tick: Tick) -> Ended:
        """Run it to its end. Ctrl-C or SIGTERM ends the job too, and the outcome is CANCELLED.

        Raises:
            LaunchError: it could not be started.
        """
