"""Finding runs in the job history, a page at a time, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crowdrun.data.columns import NAMES
from crowdrun.data.labels import LARGEST_REQUEST_MB
from crowdrun.data.states import STATES
from crowdrun.data.store import JobStore, is_newest
from crowdrun.data.store_schema import JOB_VERSIONS, digest, transaction

PAGE_ROWS = 50
#: In what order, beside by time: what was asked for and not used, GB·h.
ORDERS = ("newest", "most wasted")

_C = JOB_VERSIONS.c
_OUT_OF_MEMORY = [name for name, state in STATES.items() if state.memory_is_bound]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is looked for; None and empty texts leave it open."""

    job_id: str | None = None
    user: str | None = None
    account: str | None = None
    partition: str | None = None
    #: Any part of the job's name, in capitals or not.
    name: str | None = None
    state: str | None = None
    #: Submitted at this moment or later, and before that one; UTC epoch seconds.
    since: float | None = None
    until: float | None = None
    order: str = "newest"


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page."""

    #: Canonical columns, None for unknown.
    jobs: Sequence[dict[str, Any]]
    #: Of all pages together.
    total: int
    #: The number of this one, from 1.
    page: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE_ROWS))


def find(store: JobStore, search: Search, *, page: int = 1) -> Found:
    """The runs that fit; a page beyond the last is empty.

    Raises:
        StoreError: the store cannot be read.
    """
    fits = [is_newest(), *_conditions(search)]
    query = sa.select(*(_C[name] for name in NAMES)).where(*fits).order_by(*_order(search.order))
    query = query.limit(PAGE_ROWS).offset((page - 1) * PAGE_ROWS)
    with transaction(store.engine, "read") as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(JOB_VERSIONS).where(*fits)).scalar_one()
        jobs = [dict(zip(NAMES, row, strict=True)) for row in connection.execute(query)]
    return Found(jobs=jobs, total=int(total), page=page)


def _conditions(search: Search) -> list[sa.ColumnElement[bool]]:
    conditions = [
        _C[name] == value for name in ("user", "account", "partition", "state") if (value := getattr(search, name))
    ]
    if search.job_id:
        conditions.append(_C.id_key == digest(search.job_id))
    if search.name:
        conditions.append(_C.job_name.icontains(search.name, autoescape=True))
    if search.since is not None:
        conditions.append(_C.submit_time >= search.since)
    if search.until is not None:
        conditions.append(_C.submit_time < search.until)
    return conditions


def _order(order: str) -> list[sa.ColumnElement[Any]]:
    newest = _C.submit_time.desc().nulls_last(), _C.seq.desc()
    if order != "most wasted":
        return list(newest)
    # As in `usage.py`: a job that died for want of memory wastes all that it held.
    used = sa.case((_C.state.in_(_OUT_OF_MEMORY), 0.0), (_C.peak_mem_mb > 0, _C.peak_mem_mb))
    wasted = (_C.req_mem_mb - used) * (_C.end_time - _C.start_time)
    return [sa.case((_C.req_mem_mb <= LARGEST_REQUEST_MB, wasted)).desc().nulls_last(), *newest]
