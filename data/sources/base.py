"""The contract of a log reader, and the report of what was read.

A reader turns a stream of bytes into tables of canonical columns, a block at a time, so that the memory it takes
does not grow with the log. A line that cannot be used is a *rejection*: counted, kept aside with its line number
and reason in the report, never dropped in silence and never fatal to the rest.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, ClassVar

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One line, or one job, that could not be used."""

    line: int
    reason: str
    #: The start of it, at most 200 characters.
    text: str


@dataclass(kw_only=True)
class ReadReport:
    """What a reader saw; filled while it reads."""

    #: Rejections kept whole; beyond this many only the counts go on.
    keep: int = 1000
    lines: int = 0
    jobs: int = 0
    #: Rule -> jobs whose figures were mended (joined steps, requeued runs, ...).
    repaired: Counter[str] = field(default_factory=Counter)
    #: Kind -> well-formed records that are not runs of jobs (queue events, cached tasks, other accounting).
    skipped: Counter[str] = field(default_factory=Counter)
    #: Reason -> rejections.
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    #: Advice for the person who made the log, each once ("made with -X: no steps, so no memory peaks").
    advice: list[str] = field(default_factory=list)

    def reject(self, line: int, reason: str, text: str) -> None:
        """Keep one line aside."""
        self.rejected[reason] += 1
        if len(self.rejections) < self.keep:
            self.rejections.append(Rejection(line=line, reason=reason, text=text[:200]))

    def advise(self, sentence: str) -> None:
        if sentence not in self.advice:
            self.advice.append(sentence)


class LogReader(ABC):
    """Reads one format. Stateless between calls of `read`."""

    name: ClassVar[str]

    @abstractmethod
    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        """Tables with the schema `columns.SCHEMA`, in the order of the log, one row a job (or a run of it).

        `stream` is the decompressed log. `report` is filled on the way.

        Raises:
            LogFormatError: the stream as a whole is not this format.
        """
