"""Four learners, mixed by how well each did, plus the offset that would have wasted least.

Source: Bader et al., "Sizey: Memory-Efficient Execution of Scientific Workflow Tasks", CLUSTER 2024; repository
dos-group/sizey, approach/sizing_tasks.py, as its README runs it: a linear model, a network, a forest and nearest
neighbours of one input; the RAQ score of each, alpha x efficiency + (1 - alpha) x accuracy, with alpha 0, where
accuracy is minus the mean relative error, each error at most 1; predictions and offsets averaged with softmax of the
scores; for each learner the offset, of four, with the least wastage over its history (standard deviation of the errors
without outliers, median error of all and of those below the peak, standard deviation of those); 5% while there are no
errors. After a failure comes the largest peak seen, if that is 5% more, then twice as much.

Ours: the input is the requested memory, since the size of the input is not known at submission, and where it never
varied all learners say the mean, neighbours that of the newest NEIGHBOURS. They search each learner's settings by
cross-validation after every task (about a second); here the settings are from the middle of their grids, a learner's
error is that of its predictions before it learnt, and all is fitted anew when a family has grown by a fifth, on its
newest FITTED jobs.
"""

import warnings
from typing import Any

import numpy as np

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.quantiles import Array

LEARNERS = 4
NEIGHBOURS = 5
FITTED = 300
GROWN = 1.2
DEFAULT_OFFSET = 0.05
#: A largest peak that is less than this above what failed is not tried.
WORTH_A_RETRY = 1.05


class Sizey(Baseline):
    """Softmax of four learners with the dynamic offset.

    >>> model = Sizey()
    >>> job = Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0)
    >>> for peak in (300.0, 300.0, 300.0):
    ...     model.learn(job, Ended(peak_mb=peak, run_time_s=60.0, end_time=60.0))
    >>> round(model.allocate(job), 3)
    315.0
    """

    name = "sizey"
    title = "four learners by RAQ score (Sizey)"
    fewest = 3

    def __init__(self) -> None:
        self._sizes: list[float] = []
        self._peaks: list[float] = []
        self._fitted_to = 0
        self._models: list[Any] = []
        self._mean = self._newest_mean = 0.0
        #: (jobs, LEARNERS) relative errors, (peak - said) / peak, of jobs that the learners had not seen.
        self._errors: list[Array] = []
        self._offsets = np.full(LEARNERS, DEFAULT_OFFSET)
        self._weights = np.full(LEARNERS, 1 / LEARNERS)
        self._said: dict[float, Array] = {}

    def learn(self, job: Submitted, ended: Ended) -> None:
        self._sizes.append(job.size)
        self._peaks.append(ended.peak_mb)

    def allocate(self, job: Submitted) -> float:
        if len(self._peaks) >= max(self._fitted_to + 1, GROWN * self._fitted_to):
            self._refresh()
        said = float(self._weights @ self._predict(np.array([job.size]))[0])
        if said < 0:
            return min(self._peaks) * DEFAULT_OFFSET
        return said * (1 + float(self._weights @ self._offsets))

    def retry(self, job: Submitted, failed_mb: float) -> float:
        del job
        largest = max(self._peaks)
        return largest if largest >= WORTH_A_RETRY * failed_mb else 2 * failed_mb

    def _refresh(self) -> None:
        """Score the learners on what has come since they were fitted, then fit them anew."""
        sizes, peaks = np.array(self._sizes), np.array(self._peaks)
        if self._fitted_to:
            new = slice(self._fitted_to, None)
            self._errors.append(1 - self._predict(sizes[new]) / peaks[new, None])
        self._fit(sizes[-FITTED:], peaks[-FITTED:])
        self._fitted_to = len(peaks)
        if self._errors:
            errors = np.concatenate(self._errors)
            score = np.exp(-np.minimum(np.abs(errors), 1.0).mean(axis=0))
            self._weights = score / score.sum()
            said = self._predict(sizes)
            self._offsets = np.array([
                best_offset(errors[:, learner], said[:, learner], peaks) for learner in range(LEARNERS)
            ])  # fmt: skip

    def _fit(self, sizes: Array, peaks: Array) -> None:
        self._said.clear()
        self._mean, self._newest_mean = float(peaks.mean()), float(peaks[-NEIGHBOURS:].mean())
        self._models = _fitted(sizes, peaks) if np.ptp(sizes) > 0 else []

    def _predict(self, sizes: Array) -> Array:
        """(n, LEARNERS) MB."""
        if not self._models:
            return np.tile([self._mean, self._mean, self._mean, self._newest_mean], (len(sizes), 1))
        unseen = np.array(sorted(set(sizes.tolist()) - self._said.keys()))
        if len(unseen):
            said = np.column_stack([model.predict(unseen[:, None]).ravel() for model in self._models])
            self._said.update(zip(unseen.tolist(), said, strict=True))
        return np.stack([self._said[size] for size in sizes.tolist()])


def _fitted(sizes: Array, peaks: Array) -> list[Any]:
    """The four learners, inputs and outputs scaled to 0..1 as there."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    learners = (
        LinearRegression(),
        MLPRegressor(hidden_layer_sizes=(7, 7), alpha=1e-3, solver="lbfgs", max_iter=200, tol=1e-3, random_state=42),
        RandomForestRegressor(10, max_depth=5, random_state=42),
        KNeighborsRegressor(min(NEIGHBOURS, len(sizes))),
    )
    scaled = [
        TransformedTargetRegressor(make_pipeline(MinMaxScaler(), learner), transformer=MinMaxScaler())
        for learner in learners
    ]
    with warnings.catch_warnings():
        # They let the network stop where it is, too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [one.fit(sizes[:, None], peaks) for one in scaled]


def best_offset(errors: Array, said_mb: Array, peaks_mb: Array) -> float:
    """Of the four offsets the one with the least wastage, failures doubled until they fit, run times not counted.

    errors: (j,) relative, made before learning; said_mb: (n,) what the learner says now of each of n peaks.
    """
    below = errors[errors > 0]
    absolute = np.abs(errors)
    offsets = [_std_without_outliers(absolute), float(np.median(absolute))]
    if len(below):
        offsets += [float(np.median(below)), float(below.std())]
    positive = said_mb > 0
    said = np.where(positive, said_mb, said_mb[positive].min()) if positive.any() else np.ones(len(said_mb))
    return min(offsets, key=lambda offset: _wastage(said * (1 + offset), peaks_mb))


def _std_without_outliers(absolute: Array) -> float:
    low, high = np.percentile(absolute, [10, 90])
    reach = 1.5 * (high - low)
    return float(absolute[(absolute >= low - reach) & (absolute <= high + reach)].std())


def _wastage(allocation: Array, peaks: Array) -> float:
    doublings = np.maximum(np.ceil(np.log2(peaks / allocation)), 0)
    held = allocation * (2 ** (doublings + 1) - 1)
    return float((held - peaks).sum())
