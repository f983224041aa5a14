"""The same run of a job twice in a log: overlapping exports put one after the other.

A run is an id and a start: requeued runs share the id and differ in the start.

>>> seen = SeenRuns()
>>> seen.repeated(pd.DataFrame({"job_id": ["1", "1", "1"], "start_time": [5.0, 9.0, 5.0]})).tolist()
[False, False, True]
>>> seen.repeated(pd.DataFrame({"job_id": ["2", "1"], "start_time": [5.0, 9.0]})).tolist()
[False, True]
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def drop_duplicates(jobs: pd.DataFrame) -> pd.DataFrame:
    """Each run once: of rows with the same id and start the one with most known values, the first of equals.

    The order is kept.
    """
    repeated = jobs.duplicated(["job_id", "start_time"], keep=False)
    if not repeated.any():
        return jobs
    known = jobs[repeated].notna().sum(axis=1)
    best = known.sort_values(ascending=False, kind="stable").index
    kept = jobs.loc[best, ["job_id", "start_time"]].drop_duplicates().index
    return jobs[~repeated | jobs.index.isin(kept)]


class SeenRuns:
    """Tells runs that came before in a log of any length, with 8 bytes a run.

    It keeps a 64-bit hash of each run, in sorted arrays that are merged as they grow. Two different runs of 10 million
    share a hash with a probability of 3 in a million; one of them would then be called repeated.
    """

    def __init__(self) -> None:
        self._sorted: list[NDArray[np.uint64]] = []

    def repeated(self, jobs: pd.DataFrame) -> NDArray[np.bool_]:
        """(n,) true for each row whose run came before, in this frame or an earlier one."""
        starts = jobs["start_time"].to_numpy(np.float64, na_value=np.nan)
        hashes = pd.util.hash_array(jobs["job_id"].to_numpy(object)) * np.uint64(31) + pd.util.hash_array(starts)
        result: NDArray[np.bool_] = pd.Series(hashes).duplicated().to_numpy().copy()
        for older in self._sorted:
            places = np.minimum(np.searchsorted(older, hashes), len(older) - 1)
            result |= older[places] == hashes
        new = np.sort(hashes[~result])
        # Like the digits of a binary counter: a merge costs little, and there are few arrays to look through.
        while self._sorted and len(self._sorted[-1]) <= 2 * len(new):
            new = np.sort(np.concatenate((self._sorted.pop(), new)), kind="stable")
        if len(new):
            self._sorted.append(new)
        return result
