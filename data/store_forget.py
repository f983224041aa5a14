"""Removing a person from the job history: the one thing that takes rows away."""

import sqlalchemy as sa

from crowdrun.data.store import JobStore
from crowdrun.data.store_schema import JOB_VERSIONS, digest, transaction


def forget(store: JobStore, user: str) -> int:
    """Remove every version of every run of a user, and return how many runs that were.

    The pages of an SQLite file that held them are overwritten; PostgreSQL does so at its next vacuum, and both may have
    backups of which crowdrun knows nothing.

    Raises:
        StoreError: the database refuses; nothing was removed.
    """
    columns = JOB_VERSIONS.c
    name = store.pseudonyms.name(user) if store.pseudonyms else user
    # All versions of a run: an earlier one may lack the name.
    theirs = sa.select(columns.job_key, columns.run).where(columns.user == name).distinct()
    with transaction(store.engine, "write to", writes=True) as connection:
        _overwrite_what_is_removed(connection)
        runs = connection.execute(theirs).all()
        last = connection.execute(sa.select(sa.func.max(columns.seq))).scalar_one()
        own = sa.tuple_(columns.job_key, columns.run).in_(theirs)
        is_theirs = connection.execute(sa.select(columns.seq).where(own, columns.seq == last)).first()
        connection.execute(sa.delete(JOB_VERSIONS).where(own))
        if is_theirs:
            connection.execute(JOB_VERSIONS.insert().values(_placeholder(last)))
    _shrink(store.engine)
    return len(runs)


def _placeholder(seq: int) -> dict[str, object]:
    """Holds the last place, as run 0: SQLite would give it out again, and who follows the store would miss that job."""
    nobody = digest("forgotten", seq)
    return {"seq": seq, "job_key": nobody, "id_key": nobody, "run": 0, "version": 1, "source": "", "stored_time": 0.0}


def _overwrite_what_is_removed(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _shrink(engine: sa.Engine) -> None:
    """The write-ahead log still holds the pages as they were, until it is taken into the file and cut."""
    if engine.dialect.name == "sqlite":
        with transaction(engine, "read") as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
