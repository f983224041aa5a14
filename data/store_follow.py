"""What became known since last time: runs that have ended, each once, for a service that learns while it answers.

A position is a place in the order in which the store was written. Writers take turns (see `store_schema.transaction`),
so nothing ever appears before a position that was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crowdrun.data.columns import NAMES
from crowdrun.data.states import STATES
from crowdrun.data.store import JobStore
from crowdrun.data.store_schema import JOB_VERSIONS, transaction

ENDED = [name for name, state in STATES.items() if state.ended]


@dataclass(frozen=True, kw_only=True)
class News:
    """Runs that ended, in the order in which the store learnt of it."""

    #: Canonical columns, None for unknown.
    jobs: Sequence[dict[str, Any]]
    #: Where to go on from.
    position: int
    #: There may be more at once.
    more: bool


def position(store: JobStore) -> int:
    """The place behind everything that is stored now.

    Raises:
        StoreError: the store cannot be read.
    """
    with transaction(store.engine, "read") as connection:
        return _last(connection)


def ended_after(store: JobStore, after: int, limit: int) -> News:
    """At most `limit` runs that were not known to have ended at the position `after`.

    A run of which more becomes known after its end does not come again.

    Raises:
        StoreError: the store cannot be read.
    """
    with transaction(store.engine, "read") as connection:
        last = _last(connection)
        rows = connection.execute(_query(after, limit)).all()
    more = len(rows) == limit
    jobs = [dict(zip(NAMES, values, strict=True)) for _, *values in rows]
    return News(jobs=jobs, position=rows[-1][0] if more else max(last, after), more=more)


def _last(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(JOB_VERSIONS.c.seq), 0))).scalar_one())


def _query(after: int, limit: int) -> sa.Select[Any]:
    before = JOB_VERSIONS.alias("before")
    had_ended = sa.exists().where(
        before.c.job_key == JOB_VERSIONS.c.job_key,
        before.c.run == JOB_VERSIONS.c.run,
        before.c.version == JOB_VERSIONS.c.version - 1,
        before.c.state.in_(ENDED),
    )
    columns = [JOB_VERSIONS.c.seq, *(JOB_VERSIONS.c[name] for name in NAMES)]
    query = sa.select(*columns).where(JOB_VERSIONS.c.seq > after, JOB_VERSIONS.c.state.in_(ENDED), ~had_ended)
    return query.order_by(JOB_VERSIONS.c.seq).limit(limit)
