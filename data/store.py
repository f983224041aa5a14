"""The job history: every job that crowdrun has learnt of, in SQLite by default, in PostgreSQL by address.

What is promised: rows are only added (a run of which more becomes known gets a newer version, the newest is read), and
taken away by `store_forget` alone;
adding the same rows again changes nothing; several processes may write at once; a kill, a full disk or a lost
connection at any moment leaves all blocks that were written before, and adding again goes on from there. What is not:
an SQLite file on a network folder that several machines write to is beyond what SQLite promises; use PostgreSQL.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> with JobStore.open(f"sqlite:///{folder.name}/store.sqlite") as store:
...     request = {"job_id": "7", "submit_time": 1.0, "req_mem_mb": 4000.0}
...     outcome = {"job_id": "7", "submit_time": 1.0, "peak_mem_mb": 900.0, "state": "COMPLETED"}
...     [store.add_rows([row], source="doctest") for row in (request, outcome, outcome)]
...     store.count(), store.get("7")[0]["req_mem_mb"], store.get("7")[0]["peak_mem_mb"]
[AddReport(new=1, known=0, extended=0), AddReport(new=1, known=0, extended=1), AddReport(new=0, known=1, extended=0)]
(1, 4000.0, 900.0)
>>> folder.cleanup()
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crowdrun.data.columns import NAMES, SCHEMA
from crowdrun.data.errors import StoreError
from crowdrun.data.pseudonyms import Pseudonyms
from crowdrun.data.reading import to_frame
from crowdrun.data.store_merge import Run, Values, merged, same_run
from crowdrun.data.store_names import check_names
from crowdrun.data.store_schema import JOB_VERSIONS, digest, make_engine, parse_url, prepare, shown, transaction

#: Rows in one transaction: what a kill loses at most, and how long another writer waits.
BLOCK_ROWS = 5000
_CANONICAL = [JOB_VERSIONS.c[name] for name in NAMES]


@dataclass(frozen=True, kw_only=True)
class AddReport:
    """What became of the rows that were added; `new` and `known` sum up to them."""

    #: Rows that told the store something.
    new: int = 0
    #: Rows that changed nothing.
    known: int = 0
    #: Of the new: those about a run that was there, of which they knew more.
    extended: int = 0

    def __add__(self, other: "AddReport") -> "AddReport":
        return AddReport(
            new=self.new + other.new, known=self.known + other.known, extended=self.extended + other.extended
        )


class JobStore:
    """The job history. Safe to use from several threads and processes."""

    def __init__(self, engine: sa.Engine, pseudonyms: Pseudonyms | None = None) -> None:
        self.engine, self.pseudonyms = engine, pseudonyms

    @classmethod
    def open(cls, url: str, pseudonyms: Pseudonyms | None = None) -> Self:
        """The store at `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`; made when there is none.

        pseudonyms: what names become on their way in; None: they stay.

        Raises:
            StoreError: it cannot be reached or written, is something else, of another version, or has other names.
        """
        engine = make_engine(parse_url(url))
        try:
            prepare(engine)
            check_names(engine, pseudonyms)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, pseudonyms)

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return shown(self.engine.url)

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, table: pa.Table | Iterable[pa.Table], source: str) -> AddReport:
        """Add jobs in canonical columns (those that lack are unknown), BLOCK_ROWS in one transaction.

        Raises:
            StoreError: the database refuses, or a row has no job_id; the blocks before it stay.
        """
        report = AddReport()
        for each in [table] if isinstance(table, pa.Table) else table:
            checked = _canonical(each, source)
            for start in range(0, checked.num_rows, BLOCK_ROWS):
                rows = checked.slice(start, BLOCK_ROWS).to_pylist()
                report += self._add_block(
                    [self.pseudonyms.row(row) for row in rows] if self.pseudonyms else rows, source
                )
        return report

    def add_rows(self, rows: Sequence[Mapping[str, Any]], source: str) -> AddReport:
        """`add` for a few jobs as mappings of canonical columns; others are passed over.

        Raises:
            StoreError: as `add`, or a value is not of its column's kind.
        """
        try:
            table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise StoreError(f"a job from {source} has a value that is not of its column's kind: {error}") from error
        return self.add(table, source)

    def count(self) -> int:
        """Runs in the store."""
        with transaction(self.engine, "read") as connection:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(JOB_VERSIONS).where(is_newest())).scalar_one()
            )

    def jobs(self, since: float | None = None) -> pd.DataFrame:
        """All runs submitted at `since` (UTC epoch seconds) or later, in order of submission, as `reading.load_jobs`.

        Columns are the canonical ones: numbers and times float64 with NaN for unknown, texts object with None. A run
        whose submission is unknown comes last, and only without `since`.
        """
        query = sa.select(*_CANONICAL).where(is_newest())
        if since is not None:
            query = query.where(JOB_VERSIONS.c.submit_time >= since)
        query = query.order_by(JOB_VERSIONS.c.submit_time.asc().nulls_last(), JOB_VERSIONS.c.seq)
        return to_frame(pa.Table.from_batches(self._batches(query), schema=SCHEMA))

    def get(self, job_id: str) -> list[dict[str, Any]]:
        """The runs of one job in canonical columns, None for unknown, oldest first; empty when there is none."""
        query = sa.select(*_CANONICAL).where(is_newest(), JOB_VERSIONS.c.id_key == digest(job_id))
        query = query.order_by(JOB_VERSIONS.c.submit_time, JOB_VERSIONS.c.start_time, JOB_VERSIONS.c.seq)
        return [row for batch in self._batches(query) for row in batch.to_pylist()]

    def _batches(self, query: sa.Select[Any]) -> Iterator[pa.RecordBatch]:
        with transaction(self.engine, "read") as connection:
            result = connection.execution_options(yield_per=BLOCK_ROWS).execute(query)
            for rows in result.partitions():
                columns = zip(*rows, strict=True)
                arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
                yield pa.record_batch(arrays, schema=SCHEMA)

    def _add_block(self, rows: list[dict[str, Any]], source: str) -> AddReport:
        keys = [digest(row["job_id"], row["submit_time"]) for row in rows]
        with transaction(self.engine, "write to", writes=True) as connection:
            known = _newest_runs(connection, keys)
            report, versions = _plan(rows, keys, known)
            if versions:
                told = {"source": source, "stored_time": time.time()}
                connection.execute(JOB_VERSIONS.insert(), [version | told for version in versions])
        return report


def is_newest() -> sa.ColumnElement[bool]:
    """Where a row of JOB_VERSIONS is the newest version of its run; run 0 is none (`store_forget`)."""
    newer = JOB_VERSIONS.alias("newer")
    same = [newer.c[name] == JOB_VERSIONS.c[name] for name in ("job_key", "run")]
    return sa.and_(JOB_VERSIONS.c.run > 0, ~sa.exists().where(*same, newer.c.version > JOB_VERSIONS.c.version))


def _newest_runs(connection: sa.Connection, keys: Sequence[bytes]) -> dict[bytes, list[Run]]:
    columns = [JOB_VERSIONS.c.job_key, JOB_VERSIONS.c.run, JOB_VERSIONS.c.version, *_CANONICAL]
    query = sa.select(*columns).where(is_newest(), JOB_VERSIONS.c.job_key.in_(set(keys)))
    known: dict[bytes, list[Run]] = defaultdict(list)
    for key, number, version, *values in connection.execute(query):
        known[bytes(key)].append(Run(number=number, version=version, values=dict(zip(NAMES, values, strict=True))))
    return known


def _plan(
    rows: Sequence[Values], keys: Sequence[bytes], known: dict[bytes, list[Run]]
) -> tuple[AddReport, list[dict[str, Any]]]:
    """The versions to insert for `rows`; `known` follows, so that a run that comes twice in a block is one run."""
    versions: list[dict[str, Any]] = []
    new = extended = 0
    for key, row in zip(keys, rows, strict=True):
        runs = known[key]
        before = same_run(runs, row)
        values = row if before is None else merged(before.values, row)
        if values is None:
            continue
        if before is None:
            run = Run(number=len(runs) + 1, version=1, values=values)
        else:
            run = Run(number=before.number, version=before.version + 1, values=values)
            runs.remove(before)
            extended += 1
        runs.append(run)
        new += 1
        identity = {"job_key": key, "id_key": digest(row["job_id"]), "run": run.number, "version": run.version}
        versions.append({**values, **identity})
    return AddReport(new=new, known=len(rows) - new, extended=extended), versions


def _canonical(table: pa.Table, source: str) -> pa.Table:
    """Columns of `columns.SCHEMA`, NaN as unknown, and text that every database takes (PostgreSQL takes no NUL)."""
    arrays = []
    for field in SCHEMA:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            column = table.column(field.name).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(f"column {field.name} of {source} cannot be stored as {field.type}: {error}") from error
        if pa.types.is_floating(field.type):
            column = pc.if_else(pc.is_finite(column), column, None)
        elif pa.types.is_string(field.type):
            column = pc.replace_substring(column, "\0", "\\x00")
        arrays.append(column)
    result = pa.table(arrays, schema=SCHEMA)
    if result.column("job_id").null_count:
        raise StoreError(f"{result.column('job_id').null_count} rows of {source} have no job_id; a job needs one")
    return result
