"""Linear regression of the peak, plus an offset from the errors it has made so far, doubled after a failure.

Source: Witt, Wagner, Leser, "Feedback-based resource allocation for batch scheduling of scientific workflows", HPCS
2019 (LR with the offsets "mean +-", "mean -" and "max"), in the form of the repository of Sizey (dos-group/sizey,
baselines/witt_feedback_based.py): errors are relative to the peak, (peak - said) / peak, each made before the job was
learnt from, and the offset is their standard deviation, or the largest error below the peak. Ours: the regressor is the
requested memory (`Submitted.size`), since the size of the input is not known at submission; where it never varied, the
line is the mean. A negative prediction becomes the largest peak, as there.
"""

import math

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted


class Line:
    """Least squares of y on x, one point at a time; the mean of y while x has not varied."""

    def __init__(self) -> None:
        self.count = 0
        self.mean_x = self.mean_y = self._xx = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        """Welford's update, which does not lose its digits where x varies little about a large mean."""
        self.count += 1
        from_mean = x - self.mean_x
        self.mean_x += from_mean / self.count
        self.mean_y += (y - self.mean_y) / self.count
        self._xx += from_mean * (x - self.mean_x)
        self._xy += from_mean * (y - self.mean_y)

    def at(self, x: float) -> float:
        varied = self._xx > 1e-9 * (1 + self.mean_x**2)
        return self.mean_y + (self._xy / self._xx * (x - self.mean_x) if varied else 0.0)


class WittRegression(Baseline):
    """The line, raised by the standard deviation of its relative errors."""

    name = "witt_lr"
    title = "linear regression + σ (Witt)"

    def __init__(self) -> None:
        self._line = Line()
        self._errors = 0
        self._mean_error = self._squares = self._largest_error = self._largest_peak = 0.0

    def learn(self, job: Submitted, ended: Ended) -> None:
        if self._line.count:
            self._observe((ended.peak_mb - self._line.at(job.size)) / ended.peak_mb)
        self._line.add(job.size, ended.peak_mb)
        self._largest_peak = max(self._largest_peak, ended.peak_mb)

    def _observe(self, error: float) -> None:
        self._errors += 1
        from_mean = error - self._mean_error
        self._mean_error += from_mean / self._errors
        self._squares += from_mean * (error - self._mean_error)
        self._largest_error = max(self._largest_error, error)

    def offset(self) -> float:
        """By what share of itself the prediction is raised."""
        return math.sqrt(self._squares / self._errors) if self._errors else 0.0

    def allocate(self, job: Submitted) -> float:
        said = self._line.at(job.size)
        return said * (1 + self.offset()) if said > 0 else self._largest_peak


class WittRegressionMaximum(WittRegression):
    """The line, raised by the largest relative error below the peak."""

    name = "witt_lr_max"
    title = "linear regression + largest error (Witt)"

    def offset(self) -> float:
        return self._largest_error
