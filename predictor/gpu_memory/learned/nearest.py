"""The nearest measured steps: a network like a known one is off as that one was; one unlike all is left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.gpu_memory.learned.features import Array
from crowdrun.predictor.gpu_memory.learned.member import Member

_NEIGHBOURS = 15
#: Rows whose distances are computed together.
_BLOCK = 256


@dataclass(frozen=True)
class Nearest(Member):
    name: ClassVar[str] = "nearest"
    #: (k,) what is taken off each share, and what it is divided by.
    middle: Array
    spread: Array
    #: (n, k) the measured steps, and the (n,) logarithm of what the line was off by.
    points: Array
    known: Array
    #: Squared distance at which a step counts for little.
    reach: float

    @classmethod
    def fit(cls, shares: Array, log_ratio: Array) -> Self:
        middle, spread = shares.mean(axis=0), shares.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        points = ((shares - middle) / spread).astype(np.float32).astype(np.float64)
        found = cls(middle, spread, points, log_ratio, 1.0)
        sample = np.random.default_rng(0).permutation(len(points))[:500]
        far = np.sort(found._distances(points[sample]), axis=1)[:, min(_NEIGHBOURS, len(points) - 1)]
        return cls(middle, spread, points, log_ratio, max(float(np.median(far)), 1e-9))

    def log_ratio(self, shares: Array) -> Array:
        scaled = (shares - self.middle) / self.spread
        blocks = [self._of(scaled[start : start + _BLOCK]) for start in range(0, len(scaled), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0)

    def _of(self, points: Array) -> Array:
        distance = self._distances(points)
        near = np.argsort(distance, axis=1)[:, :_NEIGHBOURS]
        weight = np.exp(-np.take_along_axis(distance, near, axis=1) / self.reach)
        # The 1 stands for "the line is right": it is believed where no neighbour is near.
        found: Array = (weight * self.known[near]).sum(axis=1) / (weight.sum(axis=1) + 1)
        return found

    def _distances(self, points: Array) -> Array:
        squares = (points**2).sum(axis=1)[:, None] + (self.points**2).sum(axis=1)
        found: Array = np.maximum(squares - 2 * points @ self.points.T, 0.0)
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {
            "middle": self.middle, "spread": self.spread, "points": self.points.astype(np.float32),
            "known": self.known, "reach": np.array(self.reach),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        return cls(
            arrays["middle"], arrays["spread"], arrays["points"].astype(np.float64), arrays["known"],
            float(arrays["reach"]),
        )  # fmt: skip
