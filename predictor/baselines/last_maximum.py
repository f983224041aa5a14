"""The largest of the last k.

Source: Tsafrir, Etsion, Feitelson, "Backfilling using system-generated predictions rather than user runtime estimates",
IEEE TPDS 18, 2007. They predict run times from the same user's last jobs and find a window of two to be enough; for
memory, where too little kills the job, the largest of the window stands for their mean. Ten is what careful people use.
"""

from collections import deque
from typing import ClassVar

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted


class LastTwoMaximum(Baseline):
    """The larger of the last two peaks.

    >>> model = LastTwoMaximum()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for peak in (900.0, 300.0, 500.0):
    ...     model.learn(job, Ended(peak_mb=peak, run_time_s=60.0, end_time=60.0))
    >>> model.allocate(job)
    500.0
    """

    name = "last_2_max"
    title = "largest of the last 2 (Tsafrir)"
    WINDOW: ClassVar[int] = 2

    def __init__(self) -> None:
        self._peaks: deque[float] = deque(maxlen=self.WINDOW)

    def learn(self, job: Submitted, ended: Ended) -> None:
        del job
        self._peaks.append(ended.peak_mb)

    def allocate(self, job: Submitted) -> float:
        del job
        return max(self._peaks)


class LastTenMaximum(LastTwoMaximum):
    """The largest of the last ten peaks."""

    name = "last_10_max"
    title = "largest of the last 10 (Tsafrir)"
    WINDOW = 10
