"""What a retraining reads: the job history, what ended since the model in use was trained, and what is kept aside."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from crowdrun.data import store_follow
from crowdrun.data.columns import SCHEMA
from crowdrun.data.kept_aside import right_units
from crowdrun.data.reading import to_frame
from crowdrun.data.store import JobStore
from crowdrun.data.unit_guard import Finding

#: Runs that are read from the store at once.
_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class Material:
    """Frames in canonical columns, without jobs that have a unit error."""

    #: The whole history.
    jobs: pd.DataFrame
    #: What ended since the model in use was trained; all of it, where that is not known.
    news: pd.DataFrame
    #: Where the store stood when it was read.
    position: int
    #: Stretches of jobs that were left out.
    kept_aside: tuple[Finding, ...]

    @classmethod
    def read(cls, store: JobStore, *, after: int | None) -> "Material":
        """Read a store; `after` is the position up to which the model in use was trained.

        Raises:
            StoreError: it cannot be read.
        """
        # Read first: what ends while the jobs are read is then learnt twice rather than never.
        position = store_follow.position(store)
        jobs = store.jobs()
        right, findings = right_units(jobs)
        wrong = set(jobs.loc[~right, ["job_id", "start_time"]].itertuples(index=False, name=None))
        news = to_frame(pa.Table.from_pylist(list(_ended(store, min(after or 0, position))), schema=SCHEMA))
        runs = news[["job_id", "start_time"]].itertuples(index=False, name=None)
        told = np.array([run not in wrong for run in runs], dtype=bool)
        return cls(jobs=jobs[right], news=news[told], position=position, kept_aside=tuple(findings))


def new_jobs(store: JobStore, after: int) -> int:
    """How many runs ended since the store stood at `after`.

    Raises:
        StoreError: it cannot be read.
    """
    return sum(1 for _ in _ended(store, min(after, store_follow.position(store))))


def _ended(store: JobStore, after: int) -> Iterator[dict[str, object]]:
    more = True
    while more:
        news = store_follow.ended_after(store, after, _AT_ONCE)
        yield from news.jobs
        after, more = news.position, news.more
