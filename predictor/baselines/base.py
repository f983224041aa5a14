"""The contract of a published method: what it may look at, when it learns, and what it does after a failure.

One object is the model of one **family** of jobs (`families.py`). It is asked at a job's submission, having learnt from
the family's jobs that had ended by then, and from nothing else.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What is known of a job at its submission."""

    submit_time: float
    #: MB, NaN where unknown.
    request_mb: float
    #: What the regressions regress on where their papers have the size of the input, which a log does not tell at
    #: submission: the requested memory, MB, or else the CPUs; 0 where neither is known.
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is known of it in the end."""

    peak_mb: float
    run_time_s: float
    end_time: float


class Baseline(ABC):
    """A method that others published, for one family of jobs."""

    name: ClassVar[str]
    #: As a person reads it, in a table.
    title: ClassVar[str]
    #: Jobs that it must have learnt from before it is asked; a smaller family leaves the word to a wider one.
    fewest: ClassVar[int] = 1

    @abstractmethod
    def learn(self, job: Submitted, ended: Ended) -> None:
        """Take one ended job in. Its peak is above 0."""

    @abstractmethod
    def allocate(self, job: Submitted) -> float:
        """MB for the first attempt; NaN: the method has no answer, and the job keeps its request."""

    def retry(self, job: Submitted, failed_mb: float) -> float:
        """MB for the next attempt after one of failed_mb was too little; no more than failed_mb means twice as much."""
        del job
        return 2 * failed_mb
