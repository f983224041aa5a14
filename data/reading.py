"""From a log to tables of jobs, and to the one frame that the crowd learns from.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     log = Path(folder) / "log"
...     _ = log.write_text("JobID|User|Submit\\n2|ada|2024-01-01T00:00:09\\n1|ada|2024-01-01T00:00:00\\n")
...     jobs = load_jobs([log])
>>> jobs[["job_id", "user", "submit_time", "req_gpus"]].to_dict("list")
{'job_id': ['1', '2'], 'user': ['ada', 'ada'], 'submit_time': [1704067200.0, 1704067209.0], 'req_gpus': [nan, nan]}
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crowdrun.data.columns import COLUMNS, SCHEMA
from crowdrun.data.duplicates import drop_duplicates
from crowdrun.data.errors import LogError, LogFormatError
from crowdrun.data.sources.base import LogReader, ReadReport
from crowdrun.data.sources.registry import READERS
from crowdrun.data.sources.sacct import SacctReader
from crowdrun.data.sources.sniff import binary_kind, first_line, looks_like
from crowdrun.data.sources.stream import LogStream, open_log

AUTO = "auto"
#: Told what is being done and the share that is done, 0 to 1 (0 where the size is not known).
ProgressCallback = Callable[[str, float], None]

_HEAD_BYTES = 1 << 16
_NUMBERS = tuple(column.name for column in COLUMNS if column.kind != "text")


def read_log(
    path: str | Path,
    log_format: str | None = None,
    report: ReadReport | None = None,
    progress: ProgressCallback | None = None,
    *,
    timezone: str = "UTC",
) -> Iterator[pa.Table]:
    """Tables with the schema `columns.SCHEMA`, in the order of the log, a block at a time.

    `path` may be "-" for standard input; `log_format` a name in the registry, or None or "auto" to recognise it;
    `timezone` is that of the times that the log writes without one.

    Raises:
        LogFormatError: another format than named, none that is known, or no text at all; says what was seen.
        LogTruncatedError: the log breaks off; all jobs before were given out.
        LogError: it is empty or cannot be read.
    """
    report = ReadReport() if report is None else report
    with open_log(path) as stream:
        head = _head(stream, path)
        reader = _reader(log_format, head, path, timezone)
        try:
            for table in reader.read(stream, report):
                yield _possible(table, report)
                if progress:
                    progress(f"{report.jobs:,} jobs", _share(stream))
        except LogFormatError as error:
            seen = looks_like(head)
            if seen in {None, reader.name}:
                raise
            raise LogFormatError(f"{error} It looks like {seen}: give --format {seen}.") from error


def load_jobs(
    paths: Sequence[str | Path],
    log_format: str | None = None,
    report: ReadReport | None = None,
    progress: ProgressCallback | None = None,
    *,
    timezone: str = "UTC",
) -> pd.DataFrame:
    """The jobs of several logs, sorted by submit time (unknown last), each run once.

    Columns are the canonical ones: numbers and times float64 with NaN for unknown, texts object with None. Of rows
    with the same id and start, the one that tells most is kept and the others are counted in `report.repaired`.

    Raises:
        LogError: as `read_log`, and when there is not one job.
    """
    report = ReadReport() if report is None else report
    tables = [table for path in paths for table in read_log(path, log_format, report, progress, timezone=timezone)]
    check_has_jobs(report, ", ".join(map(str, paths)))
    jobs = to_frame(pa.concat_tables(tables))
    unique = drop_duplicates(jobs)
    report.repaired["the same run more than once: the row that tells most was kept"] += len(jobs) - len(unique)
    return unique.sort_values("submit_time", kind="stable", na_position="last", ignore_index=True)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A canonical table as a frame: numbers float64 with NaN, texts object with None."""
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if name in _NUMBERS:
            columns[name] = column.cast(pa.float64()).to_numpy()
        else:
            columns[name] = np.array(column.to_pylist(), dtype=object)
    # pandas would make its own string type of the texts.
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def check_has_jobs(report: ReadReport, name: str) -> None:
    """Raises LogError when nothing at all could be read, with the reasons."""
    if report.jobs:
        return
    reasons = "; ".join(f"{reason} ({count})" for reason, count in report.rejected.most_common(3))
    why = f": {reasons}" if reasons else ""
    raise LogError(f"{name} has no jobs: {report.lines} lines, {report.rejected.total()} rejected{why}")


def _head(stream: LogStream, path: str | Path) -> bytes:
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    if not head.strip():
        raise LogError(f"the log {path} is empty")
    kind = None if looks_like(head) else binary_kind(head)
    if kind:
        raise LogFormatError(f"{path} is no log but {kind}: it begins with {head[:16]!r}")
    return head


def _reader(log_format: str | None, head: bytes, path: str | Path, timezone: str) -> LogReader:
    name = looks_like(head) if log_format in {None, AUTO} else log_format
    if name is None:
        raise LogFormatError(
            f"cannot tell the format of {path}: its first line is {first_line(head)[:100]!r}; "
            f"give --format, one of {', '.join(READERS)}"
        )
    if name not in READERS:
        raise LogFormatError(f"there is no format {name!r}; known are {', '.join(READERS)}")
    # The others write the zone, or epoch seconds.
    return SacctReader(timezone) if name == SacctReader.name else READERS[name]()


def _share(stream: LogStream) -> float:
    return min(stream.consumed_bytes / stream.total_bytes, 1.0) if stream.total_bytes else 0.0


def _possible(table: pa.Table, report: ReadReport) -> pa.Table:
    """The table with numbers that no job can have emptied, and counted."""
    if table.schema != SCHEMA:
        table = table.select(SCHEMA.names).cast(SCHEMA)
    for name in _NUMBERS:
        column = table.column(name)
        lowest, highest = pc.min_max(column).as_py().values()
        if lowest is None or (lowest >= 0 and highest < float("inf")):
            continue
        possible = pc.and_(pc.greater_equal(column, 0), pc.is_finite(column)).fill_null(True)
        report.repaired[f"{name} that no job can have taken as unknown"] += len(column) - pc.sum(possible).as_py()
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), pc.if_else(possible, column, None))
    return table
