"""Mends lines of sacct in which a user's text holds newlines or separators, or says why it cannot be done.

A newline: pieces are joined until the next piece begins like a job or a step. Separators too many: each way of putting
them into the free-text fields is tried, and the one that leaves every other field valid is taken.

>>> from crowdrun.data.sources.sacct_layout import from_first_line
>>> mender = Mender(from_first_line("JobID|JobName|State|SubmitLine|ExitCode"))
>>> [result] = mender.mend([(7, b"10|we|ird|COMPLETED|srun -c 'a"), (8, b"b'|0:0")])
>>> result.number, result.line.replace(PIPE, b"!")
(7, b"10|we!ird|COMPLETED|srun -c 'a b'|0:0")
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from crowdrun.data.sources.sacct_layout import FREE_TEXT, STEP_ID, Layout
from crowdrun.data.sources.stream import MAX_LINE_BYTES
from crowdrun.data.states import normalise

#: Stands for a separator inside a field of a mended line (ASCII unit separator).
PIPE = b"\x1f"
#: Beyond these the ways to try are too many, and the line is hardly worth it.
_MOST_EXTRA, _MOST_PIECES = 12, 2000

_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|Unknown|None|\d+|)$", re.IGNORECASE)
_SIZE = re.compile(r"^([\d.]+[KMGTP]?[nc]?|)$", re.IGNORECASE)
_TRES = re.compile(r"^([\w/:.-]+=[^,|]+(,[\w/:.-]+=[^,|]+)*|)$")
_LASTING = re.compile(r"^((\d+-)?\d+(:\d\d)*(\.\d+)?|UNLIMITED|Partition_Limit|INVALID|)$", re.IGNORECASE)
_WORD = re.compile(r"^[\w.,+@\[\]()% *-]*$")
_NUMBER = re.compile(r"^\d*$")

#: Field -> what a value of it looks like; other fields may hold anything but what a free text would leave there.
_SHAPES: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(("jobid", "jobidraw"), STEP_ID),
    **dict.fromkeys(("submit", "eligible", "start", "end"), _TIME),
    **dict.fromkeys(("reqmem", "maxrss", "averss", "maxvmsize", "avevmsize"), _SIZE),
    **dict.fromkeys(("reqtres", "alloctres", "tresusageintot", "tresusageinmax", "tresusageinave"), _TRES),
    **dict.fromkeys(("elapsed", "timelimit", "totalcpu", "cputime", "usercpu", "systemcpu"), _LASTING),
    **dict.fromkeys(("user", "group", "account", "partition", "qos", "cluster", "nodelist"), _WORD),
    **dict.fromkeys(("nnodes", "ncpus", "reqcpus", "alloccpus", "allocnodes", "ntasks", "uid", "gid"), _NUMBER),
    "exitcode": re.compile(r"^(\d+:\d+|)$"),
    "workdir": re.compile(r"^(/.*|)$", re.DOTALL),
}


@dataclass(frozen=True, kw_only=True)
class Mended:
    number: int
    line: bytes
    rule: str


@dataclass(frozen=True, kw_only=True)
class Broken:
    number: int
    line: bytes
    reason: str


class Mender:
    """Mends the lines of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._free = [at for at, name in enumerate(layout.names) if name in FREE_TEXT]

    def mend(self, lines: Sequence[tuple[int, bytes]]) -> Iterator[Mended | Broken]:
        """What becomes of neighbouring lines with the wrong number of separators."""
        record: list[tuple[int, bytes]] = []
        for number, line in lines:
            if record and (self._begins(line) or len(record) >= _MOST_PIECES):
                yield self._record(record)
                record = []
            if record or line.strip():
                record.append((number, line))
        if record:
            yield self._record(record)

    def _begins(self, line: bytes) -> bool:
        fields = line.split(b"|", self._layout.job_id + 1)
        return len(fields) > self._layout.job_id + 1 and bool(
            STEP_ID.match(fields[self._layout.job_id].decode("utf-8", "replace"))
        )

    def _record(self, pieces: Sequence[tuple[int, bytes]]) -> Mended | Broken:
        number = pieces[0][0]
        line = b" ".join(piece for _, piece in pieces)
        extra = line.count(b"|") - self._layout.separators
        if len(line) > MAX_LINE_BYTES:
            return Broken(number=number, line=line[:200], reason=f"line longer than {MAX_LINE_BYTES} bytes")
        if extra < 0:
            return Broken(number=number, line=line, reason="too few fields")
        if extra == 0:
            fields = line.decode("utf-8", "replace").split("|")
            if self._is_valid(fields):
                return Mended(number=number, line=line, rule="newline inside a field")
            return Broken(number=number, line=line, reason="newline inside a field, and the fields do not fit")
        ways = sorted(self._ways(line, extra), key=lambda way: way[0]) if extra <= _MOST_EXTRA else []
        if not ways:
            return Broken(number=number, line=line, reason="too many fields")
        if len(ways) > 1 and ways[0][0] == ways[1][0]:
            return Broken(number=number, line=line, reason="too many fields, and more than one way to join them")
        return Mended(number=number, line=ways[0][1], rule="separator inside a field")

    def _ways(self, line: bytes, extra: int) -> Iterator[tuple[int, bytes]]:
        """Each valid way of giving the extra separators to free-text fields, and how far-fetched it is."""
        pieces = line.split(b"|")
        for owners in combinations_with_replacement(self._free, extra):
            fields, at = [], 0
            for position in range(len(self._layout.names)):
                width = 1 + owners.count(position)
                fields.append(PIPE.join(pieces[at : at + width]))
                at += width
            if self._is_valid([field.decode("utf-8", "replace") for field in fields]):
                cost = sum(FREE_TEXT[self._layout.names[owner]] for owner in owners)
                yield cost, b"|".join(fields)

    def _is_valid(self, fields: Sequence[str]) -> bool:
        for name, value in zip(self._layout.names, fields, strict=True):
            if name == "state":
                if normalise(value) is None:
                    return False
            elif name in _SHAPES and not _SHAPES[name].match(value):
                return False
        return True
