"""The history of a whole log at once: what `History` would have told at each submission, without living through it.

For each relation, the jobs that taught something are put by key and by the order of their ends; the state of each key
after each of them is one pass of running statistics (Polars); a submission then looks up the last state of its key
before it, an as-of join. `tests/predictor/test_history_table.py` holds every figure against the live object.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import ends_before
from crowdrun.predictor.history import NEWEST_WEIGHT, RELATIONS, STATISTICS, WINDOW, History, Trail
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array

if TYPE_CHECKING:
    import polars

_COUNT, _AGE, _MEAN = (STATISTICS.index(name) for name in ("count", "age", "mean"))


class HistoryTable:
    """What the ended jobs of a log tell, for one target. value_log2: (n,), NaN where a job teaches nothing.

    known_time: (n,) when each value becomes known, UTC epoch seconds; at the end of the job without it.
    """

    def __init__(self, log: LearningLog, value_log2: Array, known_time: Array | None = None) -> None:
        order, before = log.ends if known_time is None else ends_before(log.submit_time, known_time)
        self._known_time = log.end_time if known_time is None else known_time
        teaches = ~np.isnan(value_log2[order])
        self._log = log
        self._value = value_log2
        #: Rows that taught, in the order of their ends, and how many of them had ended at each submission.
        self._ended = order[teaches]
        self._before = np.concatenate([[0], np.cumsum(teaches)])[before]

    def statistics(self, rows: slice, history: History) -> Array:
        """(k, len(RELATIONS) * len(STATISTICS)) what `History.statistics` tells at the submission of each row.

        The same pass puts what is known at the end of the log into `history`, which comes empty.
        """
        told = []
        for states in self._relations():
            after = states.told()
            told.append(self._at_submission(states, after, rows))
            self._fill(history, states, after)
        return np.hstack(told)

    def closest(self, rows: slice) -> Array:
        """(k, WINDOW) the last values of the closest relation that has any, newest first, NaN beyond the oldest."""
        result = np.full((len(self._log.submit_time[rows]), WINDOW), np.nan)
        for states in self._relations():
            last = states.last_before(self._log.relations[rows, states.relation], self._before[rows])
            new = np.isnan(result[:, 0]) & (last >= 0)
            result[new] = states.windows(last[new])
        return result

    def _relations(self) -> Iterator["_States"]:
        for relation in range(len(RELATIONS)):
            code = self._log.relations[self._ended, relation]
            place = np.argsort(code, kind="stable")
            place = place[np.searchsorted(code[place], 0) :]
            rows = self._ended[place]
            yield _States(
                relation=relation, rows=rows, code=code[place], place=place,
                value=self._value[rows], end_time=self._known_time[rows],
            )  # fmt: skip

    def _at_submission(self, states: "_States", after: Array, rows: slice) -> Array:
        last = states.last_before(self._log.relations[rows, states.relation], self._before[rows])
        known, now = last >= 0, self._log.submit_time[rows]
        told = np.full((len(last), len(STATISTICS)), np.nan)
        told[known] = after[last[known]]
        told[:, _COUNT] = np.log2(1 + np.nan_to_num(told[:, _COUNT]))
        told[known, _AGE] = np.log2(1 + np.fmax(0.0, now[known] - told[known, _AGE]))
        return told

    def _fill(self, history: History, states: "_States", after: Array) -> None:
        first, last = states.spans()
        keys = self._log.requests_table.keys(states.relation, states.rows[last])
        starts, values = np.maximum(first, last + 1 - WINDOW).tolist(), states.value.tolist()
        for key, start, end, told in zip(keys, starts, (last + 1).tolist(), after[last].tolist(), strict=True):
            history.trails[key] = Trail.of(
                values[start:end], count=int(told[_COUNT]), newest_time=told[_AGE], mean=told[_MEAN]
            )


@dataclass(frozen=True, kw_only=True)
class _States:
    """The jobs of one relation that taught: by key, and within one by the order of their ends."""

    relation: int
    rows: NDArray[np.intp]
    code: NDArray[np.int64]
    #: Place of each among all jobs that taught.
    place: NDArray[np.intp]
    value: Array
    end_time: Array

    def last_before(self, code: NDArray[np.int64], before: NDArray[np.intp]) -> NDArray[np.intp]:
        """(k,) the last job of each code whose place is below `before`; -1 where there is none."""
        if not len(self.code):
            return np.full(len(code), -1, dtype=np.intp)
        width = int(self.place.max()) + 2
        found = np.searchsorted(self.code * width + self.place, code * width + before) - 1
        return np.where((found >= 0) & (code >= 0) & (self.code[found] == code), found, -1)

    def spans(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first and the last job of each key."""
        edge = np.flatnonzero(np.diff(self.code)) + 1
        ends = np.append(edge, len(self.code)) if len(self.code) else edge
        return np.concatenate([[0], edge])[: len(ends)].astype(np.intp), (ends - 1).astype(np.intp)

    def windows(self, last: NDArray[np.intp]) -> Array:
        """(k, WINDOW) values of the key up to each of these jobs, newest first, NaN beyond the oldest."""
        place = last[:, None] - np.arange(WINDOW)
        place, begun = np.maximum(place, 0), place >= 0
        return np.where(begun & (self.code[place] == self.code[last][:, None]), self.value[place], np.nan)

    def told(self) -> Array:
        """(m, len(STATISTICS)) after each job; the count as it is, and in place of the age the newest end."""
        import polars

        frame = polars.DataFrame({"code": self.code, "value": self.value, "end_time": self.end_time})
        told = frame.select(how.over("code").alias(name) for name, how in _running().items())
        return told.select(polars.all().cast(polars.Float64)).to_numpy()


def _running() -> dict[str, "polars.Expr"]:
    """Each of STATISTICS over the jobs of a key so far."""
    from polars import col

    value = col("value")
    return {
        "count": value.cum_count(),
        "age": col("end_time").clip(lower_bound=0.0).cum_max(),
        "last": value,
        "before": value.shift(1),
        "mean": value.ewm_mean(alpha=NEWEST_WEIGHT, adjust=False),
        "highest_of_5": value.rolling_max(5, min_samples=1),
        "lowest": value.rolling_min(WINDOW, min_samples=1),
        "median": value.rolling_quantile(0.5, "lower", window_size=WINDOW, min_samples=1),
        "p90": value.rolling_quantile(0.9, "nearest", window_size=WINDOW, min_samples=1),
        "highest": value.rolling_max(WINDOW, min_samples=1),
    }
