"""A line where the input says something, the largest peak where it does not, both with room on top.

Source: Lehmann et al., "Ponder: Online Prediction of Task Memory Requirements for Scientific Workflows", e-Science
2024; repository CommonWorkflowScheduler/KubernetesScheduler, PonderPredictor.java, LinearPredictorCustomLoss.java,
WeightedVarianceOffset.java, MemoryScaler.java. From the fifth job on: with a correlation of input and peak above 0.3, a
line fitted by squares that count an overprediction 0.02 times (the default there), kept within the peaks seen, plus two
standard deviations of its errors, each job weighted by how near its input is; else the largest peak. At least 128 MB on
top. Before: the largest peak plus 128 MB, if a job with a larger input was seen. Never more than the request; a retry
gets the request. Ours: the input is the requested memory, since the size of the input is not known at submission, and
the line is found by reweighted least squares, where they use a simplex search for the same convex loss.
"""

import math

import numpy as np

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.quantiles import Array

FIRST_JOBS = 5
LEAST_CORRELATION = 0.3
ROOM_MB = 128.0
OVERPREDICTION = 0.02
STANDARD_DEVIATIONS = 2.0
#: Reweightings after which a line is taken as it is; the loss is piecewise quadratic, so few are needed.
_ROUNDS = 50


class Ponder(Baseline):
    """Line or largest peak.

    >>> model = Ponder()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for peak in (300.0, 500.0, 400.0, 100.0, 200.0):
    ...     model.learn(job, Ended(peak_mb=peak, run_time_s=60.0, end_time=60.0))
    >>> model.allocate(job), model.retry(job, 628.0)
    (628.0, 4096.0)
    """

    name = "ponder"
    title = "line or largest peak (Ponder)"

    def __init__(self) -> None:
        self._sizes: list[float] = []
        self._peaks: list[float] = []
        #: Of the jobs learnt from when it was found: intercept and slope, or None where the input says too little.
        self._line: tuple[float, float] | None = None
        self._fitted_to = 0

    def learn(self, job: Submitted, ended: Ended) -> None:
        self._sizes.append(job.size)
        self._peaks.append(ended.peak_mb)

    def allocate(self, job: Submitted) -> float:
        said = self._first(job.size) if len(self._peaks) < FIRST_JOBS else self._later(job.size)
        # Not `min`: a job without a request has no bound, one without an answer keeps its request.
        return said if math.isnan(job.request_mb) or math.isnan(said) else min(said, job.request_mb)

    def retry(self, job: Submitted, failed_mb: float) -> float:
        return 2 * failed_mb if math.isnan(job.request_mb) else job.request_mb

    def _first(self, size: float) -> float:
        return max(self._peaks) + ROOM_MB if max(self._sizes) > size else math.nan

    def _later(self, size: float) -> float:
        sizes, peaks = np.array(self._sizes), np.array(self._peaks)
        if self._fitted_to < len(peaks):
            self._line = _line(sizes, peaks)
            self._fitted_to = len(peaks)
        if self._line is None:
            return float(peaks.max()) + ROOM_MB
        intercept, slope = self._line
        said = max(intercept + slope * size, float(peaks.min()))
        beyond = size >= sizes.max()
        if (said > peaks.max() and not beyond) or (said < peaks.max() and beyond):
            said = float(peaks.max())
        variance = weighted_variance(peaks - intercept - slope * sizes, np.abs(sizes - size))
        return said + max(ROOM_MB, STANDARD_DEVIATIONS * math.sqrt(variance))


def _line(sizes: Array, peaks: Array) -> tuple[float, float] | None:
    if np.ptp(sizes) == 0 or np.ptp(peaks) == 0 or np.corrcoef(sizes, peaks)[0, 1] <= LEAST_CORRELATION:
        return None
    return asymmetric_line(sizes, peaks)


def asymmetric_line(x: Array, y: Array) -> tuple[float, float]:
    """Intercept and slope with the least squares, an overprediction counting OVERPREDICTION times.

    x: (n,), not constant.

    >>> asymmetric_line(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    (1.0, 2.0)
    """
    weight, intercept, slope = np.ones(len(x)), 0.0, 0.0
    for _ in range(_ROUNDS):
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        slope = float((weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x) ** 2).sum())
        intercept = float(mean_y - slope * mean_x)
        new = np.where(y > intercept + slope * x, 1.0, OVERPREDICTION)
        if np.array_equal(new, weight):
            break
        weight = new
    return intercept, slope


def weighted_variance(errors: Array, distance: Array) -> float:
    """Variance of the errors (n,), weighted by nearness; the farthest counts a little below ten jobs, then nothing."""
    if distance.max() == 0:
        weight = np.ones(len(errors))
    else:
        weight = 1 - distance / distance.max() + max(1 - len(errors) / 10, 0) / 100
    spread = weight.sum() - (weight**2).sum() / weight.sum()
    if spread <= 0:
        return 0.0
    return float((weight * (errors - np.average(errors, weights=weight)) ** 2).sum() / spread)
