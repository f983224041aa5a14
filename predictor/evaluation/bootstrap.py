"""How far a figure can be trusted: bootstrap intervals over users.

The jobs of one user resemble each other, so drawing single jobs would promise far too much: what is drawn, with
replacement, are **blocks**, all jobs of one user each (the cluster bootstrap: Cameron, Gelbach, Miller, "Bootstrap-
based improvements for inference with clustered errors", Review of Economics and Statistics 90, 2008). An interval then
says what another mix of such users would have shown. Where a log has fewer than FEWEST_USERS, their jobs are cut into
STRETCHES consecutive parts, and the intervals speak of other weeks of the same users.

>>> resamples = Resamples.over_users(np.array([f"user{i % 40}" for i in range(400)]))
>>> resamples.mean(np.arange(400.0) % 40).value
19.5
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.quantiles import Array

RESAMPLES = 1000
FEWEST_USERS = 20
STRETCHES = 10
#: Share of the resamples outside an interval, half on each side.
OUTSIDE = 0.05
#: Width of the bins in which the median of a resample is found.
_BIN = 0.01


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """How often each block is drawn in each resample."""

    #: (n,) block of each job.
    block: NDArray[np.intp]
    #: (RESAMPLES, blocks).
    drawn: Array
    #: What a block is.
    unit: str

    @classmethod
    def over_users(cls, user: NDArray[np.object_] | NDArray[np.str_], seed: int = 0, unit: str = "user") -> "Resamples":
        """user: (n,) of the jobs in the order of their submission, or what else a block is, named by unit."""
        _, block = np.unique(user.astype(str), return_inverse=True)
        if len(block) and block.max() + 1 < FEWEST_USERS:
            stretch = np.arange(len(block)) * STRETCHES // len(block)
            _, block = np.unique(block * STRETCHES + stretch, return_inverse=True)
            unit = f"{unit} and tenth of the log"
        # Where there are no jobs there is one block without any.
        blocks = int(block.max(initial=0)) + 1
        draw = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
        return cls(block=block, drawn=draw.astype(np.float64), unit=unit)

    def of(self, chosen: NDArray[np.bool_]) -> "Resamples":
        """The same draws for some of the jobs. chosen: (n,)."""
        return replace(self, block=self.block[chosen])

    @property
    def blocks(self) -> int:
        return int(self.drawn.shape[1])

    def sums(self, value: Array) -> Array:
        """(RESAMPLES,) sum over the jobs of each resample. value: (n,)."""
        result: Array = self.drawn @ np.bincount(self.block, weights=value, minlength=self.blocks)
        return result

    def mean(self, value: Array) -> Interval:
        return self.ratio(value, np.ones(len(value)))

    def total(self, value: Array) -> Interval:
        """The sum over as many jobs as there are: a resample's mean times n, since resamples differ in their jobs."""
        mean = self.mean(value)
        return Interval(value=float(value.sum()), low=mean.low * len(value), high=mean.high * len(value))

    def ratio(self, value: Array, of: Array) -> Interval:
        """Sum of the one over the sum of the other, both over the same resampled jobs."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return _interval(float(np.divide(value.sum(), of.sum())), self.sums(value) / self.sums(of))

    def median(self, value: Array) -> Interval:
        """The median of values of 0 or more; the ends of the interval are right within _BIN."""
        if not len(value):
            return _interval(float("nan"), np.full(RESAMPLES, np.nan))
        place = np.minimum(value / _BIN, 4000).astype(np.intp)
        bins = int(place.max()) + 1
        counts = np.bincount(self.block * bins + place, minlength=self.blocks * bins).reshape(self.blocks, bins)
        reached = np.cumsum(self.drawn @ counts, axis=1)
        middle = (reached < reached[:, -1:] / 2).sum(axis=1) * _BIN + _BIN / 2
        return _interval(float(np.median(value)), middle)


def _interval(value: float, resampled: Array) -> Interval:
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(known, [OUTSIDE / 2, 1 - OUTSIDE / 2])
    return Interval(value=value, low=float(low), high=float(high))
