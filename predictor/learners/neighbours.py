"""Instance-based: the nearest past jobs by the distance of their features, as Karnak does.

Source: Smith, "Prediction Services for Distributed Computing", IPDPS 2007 (the query distance over a job's features;
its instance-based predictor is what Karnak served on XSEDE).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import CATEGORY_BUCKETS, CATEGORY_NAMES, NUMERIC_NAMES, Features
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.learners.distinct_points import DistinctPoints, Points
from crowdrun.predictor.learners.scaling import Scaling, Scalings
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import LEVELS, Array, between
from crowdrun.predictor.settings import PartSettings, searched

#: A category is a random point of this many dimensions: two different ones are about sqrt(2 * weight) apart.
CATEGORY_DIMENSIONS = 6
_CATEGORY_POINTS: Array = np.random.default_rng(0).normal(
    scale=CATEGORY_DIMENSIONS**-0.5, size=(len(CATEGORY_NAMES), CATEGORY_BUCKETS, CATEGORY_DIMENSIONS)
)
_POINT_SIZE = len(CATEGORY_NAMES) * CATEGORY_DIMENSIONS
#: Where the points of each category begin in the one table of them.
_OFFSETS = np.arange(len(CATEGORY_NAMES), dtype=np.int64) * CATEGORY_BUCKETS
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
    learns_online = True
    settings_type = NeighboursSettings
    settings: NeighboursSettings
    #: The points of the remembered jobs, oldest first, in blocks of columns, and what they needed.
    _memory: list[DistinctPoints]
    _target: Array

    def fit(self, features: Features, target: Array) -> None:
        self._scaling = Scaling.of(features)
        newest = slice(-self.settings.remembered, None)
        self._remember(self._blocks(features.rows(newest)), target[newest])

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Memories(members)

    def update(self, features: Features, target: Array) -> None:
        newest = self.settings.remembered
        self._target = np.concatenate([self._target, target])[-newest:]
        blocks = zip(self._memory, self._blocks(features), strict=True)
        self._memory = [known.with_newer(new, newest) for known, new in blocks]

    def _remember(self, blocks: Sequence[Points], target: Array) -> None:
        self._memory, self._target = [DistinctPoints.of(block) for block in blocks], target

    def _blocks(self, features: Features) -> list[Points]:
        scaled = Scalings([self._scaling]).apply(Panel.of(features))[0]
        return self.blocks(scaled, features.categories)

    def blocks(self, scaled: Array, categories: NDArray[np.int32]) -> list[Points]:
        """The points of n jobs in blocks of columns: what they asked for and what is known of jobs like them, who they
        are (which a log of thousands of jobs repeats again and again), and the queue that each met.

        scaled: (n, all columns); categories: (n, len(CATEGORY_NAMES)).
        """
        columns, first = self._scaling.columns, self._first_of_queue
        words = self._words.take(categories + _OFFSETS, axis=0).reshape(len(scaled), _POINT_SIZE)
        blocks = [scaled.take(columns[:first], axis=1).astype(np.float32), words]
        return blocks if first == len(columns) else [*blocks, scaled.take(columns[first:], axis=1).astype(np.float32)]

    @property
    def _first_of_queue(self) -> int:
        return int(self._scaling.columns.searchsorted(len(NUMERIC_NAMES)))

    @cached_property
    def _words(self) -> Points:
        """The point of each category and bucket."""
        points: Array = self.settings.category_weight**0.5 * _CATEGORY_POINTS
        return points.reshape(-1, CATEGORY_DIMENSIONS).astype(np.float32)

    def distances(self, blocks: Sequence[Points]) -> Points:
        """(m, remembered) of the points of m jobs."""
        result: Points
        result, *rest = (known.distances(block) for known, block in zip(self._memory, blocks, strict=True))
        for part in rest:
            result += part
        return result

    def save(self, folder: Path) -> None:
        numeric, words, *queue = (known.points for known in self._memory)
        points = np.hstack([numeric, *queue, words])
        np.savez(folder / "neighbours.npz", points=points, target=self._target, **self._scaling.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        arrays = load_arrays(folder / "neighbours.npz")
        learner = cls(settings=settings)
        learner._scaling = Scaling.from_arrays(arrays)
        points, first, end = arrays["points"].astype(np.float32), learner._first_of_queue, len(learner._scaling.columns)
        queue = [points[:, first:end]] if first < end else []
        learner._remember([points[:, :first], points[:, end:], *queue], arrays["target"].astype(np.float64))
        return learner


class _Memories(Joint):
    def __init__(self, members: Sequence[Neighbours]) -> None:
        self._members = members
        self._scalings = Scalings([member._scaling for member in members])
        self._counts = [min(member.settings.neighbours, len(member._target)) for member in members]
        # The middle of the i-th of n sorted values is level (i + 1/2) / n: the ends are the extremes seen.
        places = np.stack([np.clip(LEVELS * count - 0.5, 0, count - 1) for count in self._counts])
        self._low = np.floor(places).astype(np.intp)
        self._high = np.minimum(self._low + 1, np.array(self._counts)[:, None] - 1)
        self._share = places - self._low

    def predict(self, panel: Panel) -> Array:
        scaled, width = self._scalings.apply(panel), max(self._counts)
        values = np.full((panel.targets, panel.jobs, width), np.inf)
        for which, member in enumerate(self._members):
            distances, count = member.distances(member.blocks(scaled[which], panel.categories)), self._counts[which]
            nearest = _smallest(distances, count)
            values[which, :, :count] = member._target.take(nearest)
        values.sort(axis=2)
        row, of = width * np.arange(len(panel))[:, None], panel.target_of_row
        return between(values.take(self._low[of] + row), values.take(self._high[of] + row), self._share[of])


def _smallest(distance: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """(n, count) the places of the smallest of each row of (n, remembered), in any order.

    A partition of everything takes five times as long: most are ruled out by a bound first.
    """
    rows, remembered = distance.shape
    groups = remembered // _GROUP
    if groups < count:
        return distance.argpartition(count - 1, axis=1)[:, :count]
    # The smallest of so many groups are so many values: the last of them bounds the smallest overall.
    least = np.minimum.reduce(distance[:, : groups * _GROUP].reshape(rows, groups, _GROUP), axis=2)
    bound = np.partition(least, count - 1, axis=1)[:, count - 1]
    result = np.empty((rows, count), dtype=np.intp)
    for row, (here, largest) in enumerate(zip(distance, bound, strict=True)):
        near = (here <= largest).nonzero()[0]
        result[row] = near.take(here.take(near).argpartition(count - 1)[:count])
    return result
