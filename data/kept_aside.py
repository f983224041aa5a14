"""Jobs that are not to be learnt because their memory is in another unit: out of a log, out of a table, into a file.

>>> columns = {"user": list("aaabbbcccabcabc"), "job_name": "x", "command": None, "start_time": 0.0, "end_time": 60.0}
>>> jobs = pd.DataFrame(columns | {"peak_mem_mb": [300.0] * 9 + [300.0 * 1024] * 6})
>>> right, findings = right_units(jobs)
>>> right.tolist(), findings[0].jobs
([True, True, True, True, True, True, True, True, True, False, False, False, False, False, False], 6)
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from numpy.typing import NDArray

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import OutputError
from crowdrun.data.store import JobStore
from crowdrun.data.store_schema import JOB_VERSIONS, transaction
from crowdrun.data.unit_guard import Finding, Job, UnitGuard, family_of

#: Stored runs, the newest, that a new log is compared with.
COMPARED_WITH = 20_000
_LOOKED_AT = ("user", "job_name", "command", "start_time", "end_time", "peak_mem_mb")


def right_units(jobs: pd.DataFrame) -> tuple[NDArray[np.bool_], list[Finding]]:
    """(n,) False for jobs with a unit error, and the stretches of them; judged in the order of their ends."""
    guard = UnitGuard()
    order = np.argsort(jobs["end_time"].to_numpy(np.float64), kind="stable")
    columns = [jobs[name].to_numpy()[order] for name in _LOOKED_AT]
    for row, *values in zip(order.tolist(), *columns, strict=True):
        guard.admit({**dict(zip(_LOOKED_AT, values, strict=True)), "row": row})
    guard.close()
    right = np.ones(len(jobs), bool)
    right[[job["row"] for job in guard.take_refused()]] = False
    return right, guard.findings


def guard_for(store: JobStore) -> UnitGuard:
    """A guard that knows what the newest jobs of a store used.

    Raises:
        StoreError: it cannot be read.
    """
    guard = UnitGuard()
    query = sa.select(*(JOB_VERSIONS.c[name] for name in _LOOKED_AT)).where(JOB_VERSIONS.c.peak_mem_mb > 0)
    with transaction(store.engine, "read") as connection:
        rows = connection.execute(query.order_by(JOB_VERSIONS.c.seq.desc()).limit(COMPARED_WITH)).all()
    for values in reversed(rows):
        job = dict(zip(_LOOKED_AT, values, strict=True))
        guard.remember(family_of(job), [job["peak_mem_mb"]])
    return guard


def admitted(tables: Iterable[pa.Table], guard: UnitGuard) -> Iterator[pa.Table]:
    """The tables without the jobs that the guard keeps aside; what it holds back comes with a later table."""
    for table in tables:
        rows = table.to_pylist()
        kept = [job for row in rows for job in guard.admit(row)]
        # Mostly nothing is wrong: the table goes on as it is.
        yield table if len(kept) == len(rows) and kept == rows else pa.Table.from_pylist(kept, schema=SCHEMA)
    yield pa.Table.from_pylist(guard.close(), schema=SCHEMA)


def write_aside(jobs: list[Job], folder: Path) -> Path:
    """Write jobs to a new file of the `table` format, for a person to mend and to ingest again.

    Raises:
        OutputError: it cannot be written.
    """
    file = folder / f"unit-error-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pyarrow.csv.write_csv(pa.Table.from_pylist(jobs, schema=SCHEMA), file)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; the jobs in it were not ingested") from error
    return file
