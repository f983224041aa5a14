"""The first allocation that wastes least, or lets most jobs through, if a failure is followed by the largest peak seen.

Source: Tovar et al., "A Job Sizing Strategy for High-Throughput Scientific Workflows", IEEE TPDS 29, 2018: with the
peaks a_i and run times of ended jobs, a_m the largest peak, t the mean run time and t_a that of the jobs above a (as
shares of all jobs), equation 1 takes the a among the peaks with the least a t + a_m t_a, equation 3 the one with the
largest (a_m / a (1 - P_a) + P_a) / (t + t_a), P_a the share of jobs above a; of equals the largest. After a failure
comes a_m; after that their node, here twice as much until the largest machine of the log.
"""

from abc import abstractmethod
from bisect import bisect_left

import numpy as np

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.quantiles import Array


class _FirstAllocation(Baseline):
    def __init__(self) -> None:
        self._peaks: list[float] = []
        self._times: list[float] = []
        self._best: float | None = None

    def learn(self, job: Submitted, ended: Ended) -> None:
        del job
        place = bisect_left(self._peaks, ended.peak_mb)
        self._peaks.insert(place, ended.peak_mb)
        self._times.insert(place, ended.run_time_s)
        self._best = None

    def allocate(self, job: Submitted) -> float:
        del job
        if self._best is None:
            # Largest first, so that of equals the largest is taken; jobs of one peak are above none of each other.
            peaks, times = np.array(self._peaks[::-1]), np.array(self._times[::-1])
            first = np.searchsorted(-peaks, -peaks)
            time_above = np.concatenate([[0.0], np.cumsum(times)])[first] / len(peaks)
            cost = self._cost(peaks, float(times.mean()), time_above, first / len(peaks))
            self._best = float(peaks[np.argmin(cost)])
        return self._best

    @abstractmethod
    def _cost(self, allocation: Array, time: float, time_above: Array, share_above: Array) -> Array:
        """What is to be small, for each allocation, the largest first."""

    def retry(self, job: Submitted, failed_mb: float) -> float:
        del job
        return self._peaks[-1] if self._peaks[-1] > failed_mb else 2 * failed_mb


class TovarWaste(_FirstAllocation):
    """The least waste.

    >>> model = TovarWaste()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for peak in (100.0, 100.0, 100.0, 1000.0):
    ...     model.learn(job, Ended(peak_mb=peak, run_time_s=60.0, end_time=60.0))
    >>> model.allocate(job), model.retry(job, 100.0), model.retry(job, 1000.0)
    (100.0, 1000.0, 2000.0)
    """

    name = "tovar_waste"
    title = "first allocation, least waste (Tovar)"

    def _cost(self, allocation: Array, time: float, time_above: Array, share_above: Array) -> Array:
        del share_above
        result: Array = allocation * time + allocation[0] * time_above
        return result


class TovarThroughput(_FirstAllocation):
    """The largest throughput."""

    name = "tovar_throughput"
    title = "first allocation, most throughput (Tovar)"

    def _cost(self, allocation: Array, time: float, time_above: Array, share_above: Array) -> Array:
        result: Array = -(allocation[0] / allocation * (1 - share_above) + share_above) / (time + time_above)
        return result
