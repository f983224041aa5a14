"""What jobs held and did not use: GB·h and GPU·h by time, user, account and partition, summed up by the database.

Judged is what `labels.py` calls measured, with a request that can be meant: waste is what was asked for minus the
peak, times the run time. A job that died for want of memory wastes all that it held. A GPU is idle for 1 - utilisation
of the run, where the log has the utilisation. What cannot be judged is counted as a job and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import sqlalchemy as sa

from crowdrun.data.labels import LARGEST_REQUEST_MB, SHORTEST_RUN_S
from crowdrun.data.states import STATES
from crowdrun.data.store import JobStore, is_newest
from crowdrun.data.store_schema import JOB_VERSIONS, transaction
from crowdrun.data.stretches import stretch_of

MB_PER_GB = 1024.0
#: By whom waste can be told.
DIMENSIONS = ("user", "account", "partition")
#: What is summed up, beside `jobs`.
FIGURES = (
    "judged", "asked_gbh", "used_gbh", "wasted_gbh", "out_of_memory", "gpu_jobs", "held_gpuh", "judged_gpuh",
    "idle_gpuh",
)  # fmt: skip
Row = dict[str, Any]

_C = JOB_VERSIONS.c
_ENDED = [name for name, state in STATES.items() if state.ended]
_OUT_OF_MEMORY = [name for name, state in STATES.items() if state.memory_is_bound]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Sums a stretch of time, user, account and partition."""

    #: `start` (of the stretch in which jobs ended, UTC epoch seconds), DIMENSIONS, `jobs` and FIGURES.
    cube: pd.DataFrame
    #: How long a stretch is, s.
    stretch_s: int

    @classmethod
    def of(cls, store: JobStore, *, user: str | None = None, since: float | None = None) -> "Usage":
        """What ended at `since` (UTC epoch seconds) or later; of one user alone where one is named.

        Raises:
            StoreError: the store cannot be read.
        """
        wanted = [is_newest(), _ran()]
        if user is not None:
            wanted.append(_C.user == user)
        if since is not None:
            wanted.append(_C.end_time >= since)
        with transaction(store.engine, "read") as connection:
            span = sa.select(sa.func.min(_C.end_time), sa.func.max(_C.end_time)).where(*wanted)
            stretch_s = stretch_of(*connection.execute(span).one())
            start = _start(stretch_s, store.engine.dialect.name)
            rows = [tuple(row) for row in connection.execute(_query(start).where(*wanted))]
        return cls(cube=pd.DataFrame(rows, columns=["start", *DIMENSIONS, "jobs", *FIGURES]), stretch_s=stretch_s)

    @property
    def total(self) -> dict[str, Any]:
        """`jobs` and FIGURES of everything; 0 where there is nothing."""
        return {name: sum(self.cube[name].tolist()) for name in _SUMMED}

    def by(self, dimension: str) -> list[Row]:
        """One row a user, account or partition (under `name`, None where it is unknown), most GB·h wasted first."""
        summed = self.cube.groupby(dimension, dropna=False)[_SUMMED].sum().reset_index(names="name")
        return _rows(summed.sort_values(["wasted_gbh", "idle_gpuh", "jobs"], ascending=False, kind="stable"))

    def over_time(self, dimension: str, names: Sequence[str | None]) -> list[Row]:
        """One row a stretch of time and one of `names`, or OTHER (under `name`): `start`, `jobs` and FIGURES."""
        known = self.cube[dimension].isin([name for name in names if name is not None])
        if None in names:
            known |= self.cube[dimension].isna()
        name = self.cube[dimension].where(known, OTHER).rename("name")
        return _rows(self.cube.groupby([self.cube["start"], name], dropna=False)[_SUMMED].sum().reset_index())


def newest_end(store: JobStore) -> float | None:
    """When the last of the jobs ended, UTC epoch seconds; None where none has.

    Raises:
        StoreError: the store cannot be read.
    """
    with transaction(store.engine, "read") as connection:
        newest: float | None = connection.execute(sa.select(sa.func.max(_C.end_time))).scalar_one()
    return newest


#: Under which `over_time` sums up all that were not named.
OTHER = "all others"
_SUMMED = ["jobs", *FIGURES]


def _rows(table: pd.DataFrame) -> list[Row]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _query(start: sa.ColumnElement[int]) -> sa.Select[Any]:
    keys = [start, *(_C[name] for name in DIMENSIONS)]
    sums = [sa.func.coalesce(sa.func.sum(figure), 0).label(name) for name, figure in _figures().items()]
    return sa.select(*keys, sa.func.count().label("jobs"), *sums).group_by(*keys)


def _ran() -> sa.ColumnElement[bool]:
    return sa.and_(_C.start_time <= _C.end_time, sa.or_(_C.state.in_(_ENDED), _C.state.is_(None)))


def _start(stretch_s: int, dialect: str) -> sa.ColumnElement[int]:
    # A cast to an integer cuts in SQLite and rounds in PostgreSQL, which must see the same literals in SELECT and in
    # GROUP BY.
    stretch: sa.ColumnElement[int] = sa.literal_column(str(stretch_s), sa.BigInteger)
    number = _C.end_time / sa.literal_column(f"{stretch_s}.0", sa.Double)
    return sa.cast(number if dialect == "sqlite" else sa.func.floor(number), sa.BigInteger) * stretch


def _figures() -> dict[str, sa.ColumnElement[Any]]:
    hours = (_C.end_time - _C.start_time) / 3600
    asked = sa.and_(
        _C.req_mem_mb > 0, _C.req_mem_mb <= LARGEST_REQUEST_MB,
        sa.or_(_C.submit_time.is_(None), _C.submit_time <= _C.start_time),
    )  # fmt: skip
    died = sa.and_(asked, _C.state.in_(_OUT_OF_MEMORY))
    measured = sa.and_(asked, _C.peak_mem_mb > 0, _C.end_time - _C.start_time >= SHORTEST_RUN_S)
    held, used = _C.req_mem_mb * hours / MB_PER_GB, _C.peak_mem_mb * hours / MB_PER_GB
    unused = sa.case((_C.peak_mem_mb < _C.req_mem_mb, held - used), else_=0.0)
    gpu_hours = sa.func.coalesce(_C.alloc_gpus, 0) * hours
    known = _C.gpu_util.is_not(None)
    return {
        "judged": sa.case((sa.or_(died, measured), 1), else_=0),
        "asked_gbh": sa.case((sa.or_(died, measured), held), else_=0.0),
        "used_gbh": sa.case((died, 0.0), (measured, used), else_=0.0),
        "wasted_gbh": sa.case((died, held), (measured, unused), else_=0.0),
        "out_of_memory": sa.case((_C.state.in_(_OUT_OF_MEMORY), 1), else_=0),
        "gpu_jobs": sa.case((_C.alloc_gpus > 0, 1), else_=0),
        "held_gpuh": gpu_hours,
        "judged_gpuh": sa.case((known, gpu_hours), else_=0.0),
        "idle_gpuh": sa.case((known, gpu_hours * (1 - _C.gpu_util)), else_=0.0),
    }
