"""The 95th percentile of the peaks so far, linear between them, doubled after a failure.

Source: Witt, Wagner, Leser, "Feedback-based resource allocation for batch scheduling of scientific workflows", HPCS
2019; as the repository of Sizey has it (dos-group/sizey, baselines/witt_feedback_based.py: numpy's percentile, 95).
"""

from bisect import insort

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted

LEVEL = 0.95


class WittPercentile(Baseline):
    """The 95th percentile.

    >>> model = WittPercentile()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for peak in (300.0, 100.0, 200.0):
    ...     model.learn(job, Ended(peak_mb=peak, run_time_s=60.0, end_time=60.0))
    >>> model.allocate(job)
    290.0
    """

    name = "witt_percentile"
    title = "95th percentile (Witt)"

    def __init__(self) -> None:
        self._ordered: list[float] = []

    def learn(self, job: Submitted, ended: Ended) -> None:
        del job
        insort(self._ordered, ended.peak_mb)

    def allocate(self, job: Submitted) -> float:
        del job
        place = LEVEL * (len(self._ordered) - 1)
        low = int(place)
        upper = self._ordered[min(low + 1, len(self._ordered) - 1)]
        return self._ordered[low] + (place - low) * (upper - self._ordered[low])
