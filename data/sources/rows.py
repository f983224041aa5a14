"""What the readers that go line by line share: checked numbers, tables in blocks, and "is this the format at all?".

>>> whole("8"), whole("-1"), whole("eight"), positive("0.5"), positive("-1")
(8, None, None, 0.5, None)
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import ReadReport

Row = Mapping[str, Any]

BLOCK_ROWS = 20_000
#: Lines that may pass before one of the format must have come.
TRIES = 1000
#: Past it a float no longer holds every whole number, and no log means it.
_LARGEST = float(2**53)


def positive(text: str | None) -> float | None:
    """A finite number of 0 or more, else None: logs write -1 for unknown."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value <= _LARGEST else None


def whole(text: str | None) -> int | None:
    """A whole number of 0 or more, else None."""
    value = positive(text)
    return int(value) if value is not None and value.is_integer() else None


def optional(report: ReadReport, column: str, parse: Callable[[str], float | None], text: str | None) -> float | None:
    """What `parse` makes of `text`; a value that it cannot read is unknown, and the report says so."""
    if not text:
        return None
    try:
        value = parse(text)
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value <= _LARGEST:
        report.repaired[f"{column} that cannot be read taken as unknown"] += 1
        return None
    return value


def tables(rows: Iterable[Row], report: ReadReport, *, block_rows: int = BLOCK_ROWS) -> Iterator[pa.Table]:
    """Canonical tables of up to `block_rows` rows; a column that a row lacks is unknown.

    When the log breaks off, the rows before come out first and then the error.
    """
    block: list[Row] = []
    try:
        for row in rows:
            block.append(row)
            report.jobs += 1
            if len(block) == block_rows:
                yield pa.Table.from_pylist(block, schema=SCHEMA)
                block = []
    except LogError:
        if block:
            yield pa.Table.from_pylist(block, schema=SCHEMA)
        raise
    if block:
        yield pa.Table.from_pylist(block, schema=SCHEMA)


class FormatCheck:
    """Tells a log of another format from one with a few bad lines."""

    def __init__(self, name: str, expected: str) -> None:
        self._name, self._expected = name, expected
        self._known = False
        self._unknown = 0
        self._first = ""

    def known(self) -> None:
        """A line of the format came, be it usable or not."""
        self._known = True

    def unknown(self, line: str) -> None:
        """A line of another shape came.

        Raises:
            LogFormatError: TRIES of them, and not one of the format.
        """
        self._first = self._first or line[:100]
        self._unknown += 1
        if not self._known and self._unknown >= TRIES:
            self._fail()

    def finish(self) -> None:
        """The log has ended.

        Raises:
            LogFormatError: not one line of the format came.
        """
        if not self._known:
            self._fail()

    def _fail(self) -> None:
        what = f"its first line is {self._first!r}" if self._first else "it is empty"
        raise LogFormatError(
            f"this log is not in the format {self._name}: {what}; expected {self._expected}. "
            "Name its format with --format."
        )
