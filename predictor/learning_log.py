"""Jobs as the crowd learns from them: requests, when they ended, and what each target's label says.

A label is *measured*, *at_least* (a bound: the job was stopped when it wanted more) or *unknown* (`data/labels.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.job import JobRequest
from crowdrun.data.labels import VALUE_COLUMNS, believable_request_mb, label_jobs
from crowdrun.data.replay import ends_before
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.request_table import RequestTable
from crowdrun.predictor.target import Target

#: A bound teaches as if the need were this far above it, log2: the middle of the first doubling of the retry ladder.
ABOVE_BOUND_LOG2 = 0.5
#: A shorter wait is the scheduler's own cycle, and nothing to learn: a minute, log2 of s.
LONG_WAIT_LOG2 = math.log2(60)


@dataclass(frozen=True, kw_only=True)
class LearningLog:
    """n jobs in the order of their submission."""

    jobs: pd.DataFrame
    requests_table: RequestTable
    #: (n,) UTC epoch seconds; a job that has not ended has an end of infinity.
    submit_time: Array
    end_time: Array
    labels: pd.DataFrame

    @classmethod
    def of(cls, jobs: pd.DataFrame) -> "LearningLog":
        jobs = jobs.sort_values("submit_time", kind="stable").reset_index(drop=True)
        return cls(
            jobs=jobs, requests_table=RequestTable(jobs), submit_time=numbers(jobs, "submit_time"),
            end_time=np.nan_to_num(numbers(jobs, "end_time"), nan=np.inf), labels=label_jobs(jobs),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.jobs)

    @cached_property
    def requests(self) -> list[JobRequest]:
        """Each request as a record: made when first asked for, since it takes a while for a long log."""
        records: list[dict[str, Any]] = self.jobs.to_dict("records")  # type: ignore[assignment]  # columns are names
        return [JobRequest.from_mapping(row) for row in records]

    @cached_property
    def relations(self) -> NDArray[np.int64]:
        """(n, len(RELATIONS)) a number for each key of each relation; -1 where the request lacks it."""
        return self.requests_table.relations

    @cached_property
    def ends(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows that end, in their order, and (n,) how many had ended at each submission."""
        return ends_before(self.submit_time, self.end_time)

    def values_log2(self, target: Target) -> Array:
        """(n,) what each job teaches of the target, log2; NaN where it teaches nothing."""
        value = self.labels[target.name].to_numpy(dtype=np.float64)
        known = ~np.isnan(value)
        result = np.full(len(self), np.nan)
        result[known] = target.to_log2(value[known])
        return result + np.where(self._kind(target) == "at_least", ABOVE_BOUND_LOG2, 0.0)

    def known_time(self, target: Target) -> Array:
        """(n,) when each job's label becomes known, UTC epoch seconds: at its end, a wait's at its start."""
        if not target.is_wait:
            return self.end_time
        start = numbers(self.jobs, "start_time")
        # Cancelled while it waited: known then.
        return np.where(np.isnan(start), self.end_time, start)

    def measured(self, target: Target) -> NDArray[np.bool_]:
        """(n,) True where the target was measured, so that a prediction can be scored."""
        return np.asarray(self._kind(target) == "measured")

    def bounds_log2(self, target: Target) -> Array:
        """(n,) log2 of the request for the target; NaN where nothing was asked for."""
        if target.request_column is None:
            return np.full(len(self), np.nan)
        asked = (
            believable_request_mb(self.jobs) if target.name == "mem_mb" else numbers(self.jobs, target.request_column)
        )
        given = asked >= 0 if target.offset else asked > 0
        result = np.full(len(self), np.nan)
        result[given] = target.to_log2(asked[given])
        return result

    def _kind(self, target: Target) -> NDArray[np.object_]:
        return self.labels[f"{_LABEL_OF[target.name]}_label"].to_numpy(dtype=object)


#: Our target -> the target of `data/labels.py`.
_LABEL_OF = {column: name for name, column in VALUE_COLUMNS.items()}


def numbers(jobs: pd.DataFrame, column: str) -> Array:
    """A column as float64, NaN where unknown or absent."""
    if column not in jobs:
        return np.full(len(jobs), np.nan)
    result: Array = pd.to_numeric(jobs[column]).to_numpy(dtype=np.float64, na_value=np.nan)
    return result


def worth_learning(jobs: LearningLog, target: Target, fewest: int) -> str | None:
    """None when the log can teach this target, else why not."""
    values = jobs.values_log2(target)
    known = values[~np.isnan(values)]
    if len(known) < fewest:
        return f"only {len(known)} jobs of the log tell it; {fewest} are needed"
    if target.is_wait and (known > LONG_WAIT_LOG2).sum() < fewest:
        return f"fewer than {fewest} jobs of the log waited longer than a minute"
    if target.whole and np.ptp(known) == 0:
        return f"every job of the log has {target.from_log2(known[:1])[0]:.0f}"
    return None


def in_end_order(jobs: LearningLog, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows, oldest end first."""
    chosen = np.asarray(rows, dtype=np.intp)
    return chosen[np.argsort(jobs.end_time[chosen], kind="stable")]
