"""Instance-based: the nearest past jobs by the distance of their features, as Karnak does.

Source: Smith, "Prediction Services for Distributed Computing", IPDPS 2007 (the query distance over a job's features;
its instance-based predictor is what Karnak served on XSEDE).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import CATEGORY_BUCKETS, CATEGORY_NAMES, Features
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.scaling import Scaling
from crowdrun.predictor.quantiles import LEVELS, Array, between
from crowdrun.predictor.settings import PartSettings, searched

#: A category is a random point of this many dimensions: two different ones are about sqrt(2 * weight) apart.
CATEGORY_DIMENSIONS = 6
_CATEGORY_POINTS: Array = np.random.default_rng(0).normal(
    scale=CATEGORY_DIMENSIONS**-0.5, size=(len(CATEGORY_NAMES), CATEGORY_BUCKETS, CATEGORY_DIMENSIONS)
)
_POINT_SIZE = len(CATEGORY_NAMES) * CATEGORY_DIMENSIONS
_BLOCK = 512
#: Remembered jobs of which the nearest is looked for first.
_GROUP = 50


@dataclass(frozen=True, kw_only=True)
class NeighboursSettings(PartSettings):
    neighbours: int = searched(32, 8, 100, log=True)
    #: Jobs that are remembered, the newest; more neighbours than that are neither nearer nor fresher.
    remembered: int = searched(6000, 1500, 12000, log=True)
    #: How far apart two different categories are, squared and halved.
    category_weight: float = searched(4.0, 0.5, 20.0, log=True)


class Neighbours(Learner):
    name = "neighbours"
    settings_type = NeighboursSettings
    settings: NeighboursSettings

    def fit(self, features: Features, target: Array) -> None:
        self._scaling = Scaling.of(features)
        self._remember(self._place(features), target)

    def predict(self, features: Features) -> Array:
        count = min(self.settings.neighbours, len(self._target))
        # The middle of the i-th of n sorted values is level (i + 1/2) / n: the ends are the extremes seen.
        places = np.clip(LEVELS * count - 0.5, 0, count - 1)
        low = np.floor(places).astype(int)
        high, share = np.minimum(low + 1, count - 1), places - low
        result = np.empty((len(features), len(LEVELS)))
        for start in range(0, len(features), _BLOCK):
            block = slice(start, start + _BLOCK)
            asked = self._place(features.rows(block))
            distance = self._squares - 2 * asked @ self._points.T
            nearest = np.stack([_smallest(row, count) for row in distance])
            values = np.sort(self._target[nearest], axis=1)
            result[block] = between(values[:, low], values[:, high], share)
        return result

    def update(self, features: Features, target: Array) -> None:
        self._remember(np.concatenate([self._points, self._place(features)]), np.concatenate([self._target, target]))

    def _remember(self, points: NDArray[np.float32], target: Array) -> None:
        newest = slice(-self.settings.remembered, None)
        self._points, self._target = points[newest], target[newest]
        self._squares = (self._points**2).sum(axis=1)

    def _place(self, features: Features) -> NDArray[np.float32]:
        weight = self.settings.category_weight**0.5
        words = weight * _CATEGORY_POINTS[np.arange(len(CATEGORY_NAMES)), features.categories]
        return np.hstack([self._scaling.apply(features), words.reshape(len(features), _POINT_SIZE)]).astype(np.float32)

    def save(self, folder: Path) -> None:
        np.savez(folder / "neighbours.npz", points=self._points, target=self._target, **self._scaling.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        arrays = load_arrays(folder / "neighbours.npz")
        learner = cls(settings=settings)
        learner._scaling = Scaling.from_arrays(arrays)
        learner._remember(arrays["points"].astype(np.float32), arrays["target"].astype(np.float64))
        return learner


def _smallest(distance: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The places of the smallest so many, in any order.

    A partition of everything takes five times as long: most are ruled out by a bound first.
    """
    groups = len(distance) // _GROUP
    if groups < count:
        return np.argpartition(distance, count - 1)[:count]
    # The smallest of so many groups are so many values: the last of them bounds the smallest overall.
    least = distance[: groups * _GROUP].reshape(groups, _GROUP).min(axis=1)
    near = np.flatnonzero(distance <= np.partition(least, count - 1)[count - 1])
    return near[np.argpartition(distance[near], count - 1)[:count]]
