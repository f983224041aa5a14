"""A percentile of a histogram that forgets, plus 15%: what the Kubernetes Vertical Pod Autoscaler recommends.

Source: kubernetes/autoscaler, vertical-pod-autoscaler/pkg/recommender: buckets that grow by 5% from 10^7 bytes, a
sample's weight halves every 24 h, a percentile is the end of its bucket, the target is the 90th percentile plus a
margin of 15%, the upper bound the 95th, at least 250 MB; after an out-of-memory kill 20% more, at least 100 MB more.
Ours: it samples a container once a day, here each job's peak is one sample at its end; the upper bound's further factor
of 1 + 1 / days of history is left out.
"""

import math
from typing import ClassVar

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted

HALF_LIFE_S = 86400.0
FIRST_BUCKET_MB = 1e7 / 2**20
GROWTH = 1.05
MARGIN = 1.15
SMALLEST_MB = 250.0
BUMP, SMALLEST_BUMP_MB = 1.2, 100.0
#: Half-lives after which weights are counted from a new time, so that they stay numbers.
_LONGEST = 100.0


class DecayingHistogram:
    """Weights of buckets, relative to one at the reference time."""

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._reference = 0.0

    def add(self, value_mb: float, time_s: float) -> None:
        age = (time_s - self._reference) / HALF_LIFE_S
        if age > _LONGEST:
            self._weights = {bucket: weight * 2.0**-age for bucket, weight in self._weights.items()}
            self._reference, age = time_s, 0.0
        bucket = math.floor(math.log(value_mb * (GROWTH - 1) / FIRST_BUCKET_MB + 1, GROWTH))
        self._weights[bucket] = self._weights.get(bucket, 0.0) + 2.0**age

    def percentile(self, level: float) -> float:
        """The end of the bucket in which this share of the weight is reached, MB."""
        wanted, reached = level * sum(self._weights.values()), 0.0
        for bucket in sorted(self._weights):
            reached += self._weights[bucket]
            if reached >= wanted:
                break
        return FIRST_BUCKET_MB * (GROWTH ** (bucket + 1) - 1) / (GROWTH - 1)


class VpaTarget(Baseline):
    """The 90th percentile plus 15%.

    >>> model = VpaTarget()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for _ in range(9):
    ...     model.learn(job, Ended(peak_mb=1000.0, run_time_s=60.0, end_time=0.0))
    >>> model.learn(job, Ended(peak_mb=9000.0, run_time_s=60.0, end_time=0.0))
    >>> round(model.allocate(job)), model.retry(job, 1000.0), model.retry(job, 300.0)
    (1181, 1200.0, 400.0)
    """

    name = "vpa_p90"
    title = "decaying histogram, p90 + 15% (Kubernetes VPA)"
    LEVEL: ClassVar[float] = 0.9

    def __init__(self) -> None:
        self._histogram = DecayingHistogram()

    def learn(self, job: Submitted, ended: Ended) -> None:
        del job
        self._histogram.add(ended.peak_mb, ended.end_time)

    def allocate(self, job: Submitted) -> float:
        del job
        return max(MARGIN * self._histogram.percentile(self.LEVEL), SMALLEST_MB)

    def retry(self, job: Submitted, failed_mb: float) -> float:
        del job
        return max(BUMP * failed_mb, failed_mb + SMALLEST_BUMP_MB)


class VpaUpperBound(VpaTarget):
    """The 95th percentile plus 15%."""

    name = "vpa_p95"
    title = "decaying histogram, p95 + 15% (Kubernetes VPA)"
    LEVEL = 0.95
