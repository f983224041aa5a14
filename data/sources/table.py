"""Reads our own form: the canonical columns of `columns.py` as CSV (RFC 4180) or Parquet, any of them, in any order.

`job_id` is required. Columns of other names are left out and named in the advice. A row with a value that its column
cannot hold is rejected. Empty text and NaN mean unknown.
"""

import csv
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crowdrun.data.columns import BY_NAME, NAMES, SCHEMA
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.rows import BLOCK_ROWS
from crowdrun.data.sources.stream import chunks, decode, numbered_lines
from crowdrun.data.sources.table_values import typed

PARQUET_MAGIC = b"PAR1"
_SPOOL_BYTES = 16 << 20


class TableReader(LogReader):
    """Reads the canonical columns."""

    name = "table"

    def read(self, stream: BinaryIO, report: ReadReport) -> Iterator[pa.Table]:
        pieces = chunks(stream, 1 << 20)
        first = next(pieces, b"")
        if first.startswith(PARQUET_MAGIC):
            blocks = _parquet_blocks(first, pieces, report)
        else:
            blocks = _csv_blocks(_Rejoined(first, pieces), report)
        for block, lines in blocks:
            table = _checked(block, lines, report)
            report.jobs += table.num_rows
            yield table


class _Rejoined:
    """Lines of pieces of bytes, `readline` as a file has it."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._data, self._rest, self._at = first, rest, 0

    def readline(self, size: int = -1) -> bytes:
        while True:
            end = self._data.find(b"\n", self._at) + 1
            have = (end or len(self._data)) - self._at
            if end or (0 <= size <= have):
                break
            more = next(self._rest, b"")
            if not more:
                break
            self._data, self._at = self._data[self._at :] + more, 0
        line = self._data[self._at : self._at + (have if size < 0 else min(have, size))]
        self._at += len(line)
        return line


Block = tuple[pa.Table, Sequence[int]]


def _csv_blocks(stream: _Rejoined, report: ReadReport) -> Iterator[Block]:
    """Tables of text, and the line on which each row ends."""
    records = _records(stream, report)
    header = [name.strip() for name in next(records, (0, []))[1]] or [""]
    _check_header(header, report)
    places = [(place, name) for place, name in enumerate(header) if name in BY_NAME]
    rows: list[list[str]] = []
    lines: list[int] = []
    failure: LogError | None = None
    try:
        for line, record in records:
            if len(record) != len(header):
                if record:
                    reason = f"{len(record)} values instead of the header's {len(header)}"
                    report.reject(line, reason, ",".join(record)[:200])
                continue
            rows.append(record)
            lines.append(line)
            if len(rows) == BLOCK_ROWS:
                yield pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in places}), lines
                rows, lines = [], []
    except LogError as error:
        failure = error
    if rows:
        yield pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in places}), lines
    if failure:
        raise failure


def _records(stream: _Rejoined, report: ReadReport) -> Iterator[tuple[int, list[str]]]:
    lines = (decode(line) + "\n" for _, line in numbered_lines(stream, report))  # type: ignore[arg-type]
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report.reject(report.lines, f"not CSV: {error}", "")
            continue
        yield report.lines, record


def _check_header(header: list[str], report: ReadReport) -> None:
    header[0] = header[0].removeprefix("\ufeff")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if "job_id" not in header or repeated:
        problem = f"names {', '.join(repeated)} twice" if repeated else "has no column job_id"
        raise LogFormatError(
            f"this is not a table of jobs: its first line {','.join(header)[:100]!r} {problem}; expected a "
            f"comma-separated header with job_id and any of {', '.join(NAMES[1:])}. Name its format with --format."
        )
    unknown = [name for name in header if name not in BY_NAME]
    if unknown:
        report.advise(f"columns left out, which are none of ours: {', '.join(unknown)[:300]}")


def _parquet_blocks(first: bytes, rest: Iterator[bytes], report: ReadReport) -> Iterator[Block]:
    """Parquet keeps its index at the end, so a stream of it is put into a temporary file first."""
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as file:
        try:
            file.write(first)
            for chunk in rest:
                file.write(chunk)
        except OSError as error:
            raise LogError(f"cannot keep the Parquet file in {tempfile.gettempdir()}: {error.strerror}") from error
        try:
            parquet = pq.ParquetFile(file)
            names = list(parquet.schema_arrow.names)
            _check_header(names, report)
            for batch in parquet.iter_batches(BLOCK_ROWS, columns=[name for name in names if name in BY_NAME]):
                yield pa.Table.from_batches([batch]), range(report.lines + 1, report.lines + 1 + batch.num_rows)
                report.lines += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise LogFormatError(f"this is not a whole Parquet file: {error}") from error


def _checked(block: pa.Table, lines: Sequence[int], report: ReadReport) -> pa.Table:
    """Canonical columns of the rows whose values can all be used."""
    arrays: list[pa.Array] = []
    reasons: dict[int, str] = {}
    for name in NAMES:
        if name not in block.column_names:
            arrays.append(pa.nulls(block.num_rows, SCHEMA.field(name).type))
            continue
        array, wrong = typed(BY_NAME[name], block.column(name).combine_chunks())
        arrays.append(array)
        for at, reason in wrong.items():
            reasons.setdefault(at, reason)
    if not reasons:
        return pa.Table.from_arrays(arrays, schema=SCHEMA)
    for at in sorted(reasons):
        row = ",".join(str(value) for value in block.slice(at, 1).to_pylist()[0].values() if value is not None)
        report.reject(lines[at], reasons[at], row)
    kept = np.ones(block.num_rows, bool)
    kept[list(reasons)] = False
    return pa.Table.from_arrays(arrays, schema=SCHEMA).filter(pa.array(kept))
