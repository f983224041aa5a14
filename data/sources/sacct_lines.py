"""From the bytes of a sacct output to blocks of lines that can be split safely, each block whole jobs.

`sacct -P` is not line-safe: SubmitLine may hold newlines, and it and JobName the separator. Lines with the right
number of separators go on as they are, many at once; the few others are mended one by one or rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import LogError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct_layout import Layout
from crowdrun.data.sources.sacct_mend import Broken, Mender
from crowdrun.data.sources.stream import MAX_LINE_BYTES, chunks, decode

CHUNK_BYTES = 8 << 20
#: A job with steps for more than this is cut: Slurm allows 40,000 steps a job by default (MaxStepCount).
_LONGEST_JOB_BYTES = 64 << 20
_NEWLINE, _SEPARATOR = ord("\n"), ord("|")


@dataclass(frozen=True, kw_only=True)
class Block:
    """Lines with exactly the right number of separators, and the number that each has in the log."""

    data: bytes
    numbers: NDArray[np.int64]
    #: True when `sacct_mend.PIPE` stands for a separator inside a field.
    mended: bool


class LineBlocks:
    """Cuts a stream into blocks that end before a job begins, so that no job is parted from its steps."""

    def __init__(self, layout: Layout, report: ReadReport, *, first: bytes = b"") -> None:
        """`first` is the first line where it is no header; a header has been read already."""
        self._layout, self._report = layout, report
        self._mender = Mender(layout)
        self._lines, self._tail = b"", first
        self._number = 2 if layout.has_header else 1
        self._skipping = False

    def blocks(self, stream: BinaryIO) -> Iterator[Block]:
        """The blocks; when the stream breaks off, the whole lines before come out first and then the error."""
        failure: LogError | None = None
        try:
            for chunk in chunks(stream, CHUNK_BYTES):
                self._take(chunk)
                cut = self._last_job_begin()
                if cut or len(self._lines) > _LONGEST_JOB_BYTES:
                    yield from self._emit(cut or len(self._lines))
        except LogError as error:
            failure = error
        if self._tail and not failure:
            self._lines += _clean(self._tail + b"\n")
        yield from self._emit(len(self._lines))
        if failure:
            raise failure

    def _take(self, chunk: bytes) -> None:
        if self._skipping:
            _, newline, chunk = chunk.partition(b"\n")
            self._skipping = not newline
        whole, newline, self._tail = (self._tail + chunk).rpartition(b"\n")
        if newline:
            self._lines += _clean(whole + newline)
        if len(self._tail) > MAX_LINE_BYTES:
            # Neither its length nor its newlines can be trusted: an empty line keeps its place in the count.
            number = self._number + self._lines.count(b"\n")
            self._report.reject(number, f"line longer than {MAX_LINE_BYTES} bytes", decode(self._tail[:200]))
            self._lines, self._tail, self._skipping = self._lines + b"\n", b"", True

    def _last_job_begin(self) -> int:
        """Where the last whole job line begins; 0 when there is none after the first line."""
        end = len(self._lines) - 1
        while end > 0:
            begin = self._lines.rfind(b"\n", 0, end) + 1
            fields = self._lines[begin:end].split(b"|")
            if len(fields) == len(self._layout.names) and b"." not in fields[self._layout.job_id]:
                return begin
            end = begin - 1
        return 0

    def _emit(self, cut: int) -> Iterator[Block]:
        data, self._lines = self._lines[:cut], self._lines[cut:]
        if not data:
            return
        first = self._number
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets == _NEWLINE)
        separators = np.searchsorted(np.flatnonzero(octets == _SEPARATOR), ends)
        begins = np.concatenate(([0], ends[:-1] + 1))
        good = np.diff(separators, prepend=0) == self._layout.separators
        good &= ends - begins <= MAX_LINE_BYTES
        self._number += len(ends)
        self._report.lines = self._number - 1
        if good.all():
            yield Block(data=data, numbers=np.arange(first, self._number), mended=False)
            return
        block = self._mend(data, first, begins, ends, good)
        if block.data:
            yield block

    def _mend(
        self,
        data: bytes,
        first: int,
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        good: NDArray[np.bool_],
    ) -> Block:
        """The good stretches as they are, the bad ones mended, in the order of the log."""
        edges = np.flatnonzero(np.diff(good, prepend=not good[0]))
        pieces: list[bytes] = []
        numbers: list[NDArray[np.int64]] = []
        for begin, end in zip(edges, [*edges[1:], len(good)], strict=True):
            if good[begin]:
                pieces.append(data[begins[begin] : ends[end - 1] + 1])
                numbers.append(np.arange(first + begin, first + end))
                continue
            lines = [(first + int(i), data[begins[i] : ends[i]]) for i in range(begin, end)]
            for result in self._mender.mend(lines):
                if isinstance(result, Broken):
                    self._report.reject(result.number, result.reason, decode(result.line))
                    continue
                self._report.repaired[result.rule] += 1
                pieces.append(result.line + b"\n")
                numbers.append(np.array([result.number]))
        return Block(
            data=b"".join(pieces),
            numbers=np.concatenate(numbers) if numbers else np.zeros(0, np.int64),
            mended=True,
        )


def _clean(data: bytes) -> bytes:
    """UTF-8 without NUL and without lone carriage returns, which would end a line; as many lines as before."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    if b"\x00" in data or not _is_utf8(data):
        data = decode(data).encode()
    return data


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
