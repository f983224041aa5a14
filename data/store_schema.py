"""The tables of the job history, and how a database is opened: the same for SQLite and PostgreSQL.

One row is one *version* of what is known of one *run* of a job; rows are only ever added. A run is found by its job
(`job_key`: job id and submission) and its number; the newest version of a run holds all that is known of it.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.types import TypeEngine

from crowdrun.data.columns import COLUMNS, Kind
from crowdrun.data.errors import StoreError

#: Changes when the tables do.
VERSION = 1
#: How long a writer waits for another one, s.
WAIT_S = 60
#: How often a writer looks whether the file is free, where SQLite does not wait by itself, s.
_LOOK_AGAIN_S = 0.01
#: The part of an SQLite error code that all codes of a kind share (sqlite.org/rescode.html).
_PRIMARY_CODE = 0xFF
#: Key of the lock that PostgreSQL's writers take (any number that others do not use).
_LOCK = 0x63726F7764  # "crowd"

_TYPES: dict[Kind, TypeEngine[Any]] = {
    "text": sa.Text(),
    "integer": sa.BigInteger(),
    "number": sa.Double(),
    "time": sa.Double(),
}

METADATA = sa.MetaData()

SCHEMA_VERSION = sa.Table("crowdrun_schema", METADATA, sa.Column("version", sa.Integer, nullable=False))

JOB_VERSIONS = sa.Table(
    "crowdrun_job_versions",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("job_key", sa.LargeBinary(16), nullable=False, doc="digest of job id and submit time"),
    sa.Column("id_key", sa.LargeBinary(16), nullable=False, doc="digest of the job id"),
    sa.Column("run", sa.Integer, nullable=False, doc="1, 2, ... in the order in which the runs became known"),
    sa.Column("version", sa.Integer, nullable=False, doc="1, 2, ... in the order in which knowledge grew"),
    sa.Column("source", sa.Text, nullable=False, doc="where this version came from: a log, a runner, the service"),
    sa.Column("stored_time", sa.Double, nullable=False, doc="when it was stored, UTC epoch seconds"),
    *(sa.Column(column.name, _TYPES[column.kind], doc=column.doc) for column in COLUMNS),
    # Keys are digests since an index row of PostgreSQL is limited to 2704 bytes, and a name in a log is not.
    sa.UniqueConstraint("job_key", "run", "version"),
    sa.Index("crowdrun_job_versions_by_id", "id_key"),
    sa.Index("crowdrun_job_versions_by_submit", "submit_time"),
)


def digest(*parts: object) -> bytes:
    """Sixteen bytes that stand for the parts."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def shown(url: sa.URL) -> str:
    """The address without its password."""
    return url.render_as_string(hide_password=True)


def parse_url(url: str) -> sa.URL:
    """The address of a store; `postgresql://` means the psycopg 3 driver.

    Raises:
        StoreError: not an address of SQLite or PostgreSQL.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise StoreError(f"the store's address is not a URL; {_ALLOWED}") from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"the store {shown(parsed)} is of an unknown kind; {_ALLOWED}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError(f"the store {shown(parsed)} names no file, so nothing would be kept; {_ALLOWED}")
    return parsed


_ALLOWED = "give sqlite:////absolute/path/FILE or postgresql://USER@HOST/DATABASE"


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine whose writing transactions wait for each other; makes the folder of an SQLite file.

    Raises:
        StoreError: the folder cannot be made, or the driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the store's folder {folder}: {error.strerror}") from error
        # A connection a transaction: opening a file is quick, and none is left open behind a process.
        engine = sa.create_engine(url, connect_args={"timeout": WAIT_S}, poolclass=sa.NullPool)
        sa.event.listen(engine, "connect", _on_connect)
        sa.event.listen(engine, "begin", _on_begin)
        return engine
    try:
        return sa.create_engine(url, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            f"the store {shown(url)} needs a driver that is not installed ({error}); "
            "run pip install 'crowdrun[postgresql]'"
        ) from error


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    # Python's own way of beginning transactions is turned off: it takes the write lock only at the first INSERT, and
    # then fails at once instead of waiting when another process has written since (sqlite.org/isolation.html).
    connection.isolation_level = None
    _log_ahead(connection)


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Readers and a writer do not block each other, and a kill at any moment leaves whole transactions.

    On a file system that cannot (network folders), SQLite stays with its rollback journal, which is as safe. The
    change needs the file to itself for a moment, and SQLite fails at once instead of waiting as it does elsewhere.
    """
    give_up = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_LOOK_AGAIN_S)


def _on_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("crowdrun_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def transaction(engine: sa.Engine, doing: str, *, writes: bool = False) -> Iterator[sa.Connection]:
    """One transaction; a writing one has the store to itself among writers, readers go on.

    Raises:
        StoreError: the database refuses; nothing of the transaction is kept.
    """
    try:
        with engine.connect().execution_options(crowdrun_writes=writes) as connection, connection.begin():
            if writes and engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection
    except DBAPIError as error:
        raise StoreError(f"cannot {doing} the store {shown(engine.url)}: {error.orig}. {_advice(error)}") from error


#: Part of a database's message -> what to do.
_ADVICE: dict[str, str] = {
    "disk is full": "Free some space and run it again: what was stored before stays.",
    "No space left": "Free some space and run it again: what was stored before stays.",
    "disk I/O error": "Look at the disk, free some space, and run it again: what was stored before stays.",
    "locked": f"Another process has been writing for over {WAIT_S} s; wait for it and run this again.",
    "not a database": "The file is something else or is damaged; name another with --store, or move it away.",
    "malformed": "The file is damaged; name another with --store, or move it away and ingest the logs again.",
    "unable to open": "Look at the path and its permissions, or name another file with --store.",
    "readonly": "Look at the permissions of the file and its folder, or name another file with --store.",
    "onnection": "Look whether the PostgreSQL server runs, and at host, port, user and password of the address.",
}


def _advice(error: DBAPIError) -> str:
    message = str(error.orig)
    return next((advice for part, advice in _ADVICE.items() if part in message), "Name another store with --store.")


def prepare(engine: sa.Engine) -> None:
    """Make the tables where there are none, and check that they are of this version.

    Raises:
        StoreError: not a store of ours, or of another version.
    """
    with transaction(engine, "open", writes=True) as connection:
        tables = sa.inspect(connection).get_table_names()
        if SCHEMA_VERSION.name not in tables:
            if tables and engine.dialect.name == "sqlite":
                raise StoreError(
                    f"{shown(engine.url)} is a database of something else (it has the tables {', '.join(tables[:5])}); "
                    "name another file with --store"
                )
            METADATA.create_all(connection)
            connection.execute(SCHEMA_VERSION.insert().values(version=VERSION))
        version = connection.execute(sa.select(SCHEMA_VERSION.c.version)).scalar_one_or_none()
    if version != VERSION:
        raise StoreError(
            f"the store {shown(engine.url)} is of version {version}, this crowdrun reads and writes version {VERSION}; "
            "use the crowdrun that wrote it, or name another store with --store and ingest the logs again"
        )
