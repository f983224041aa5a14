"""What the other steps of the same item tell (`predictor/items.py`), with the margins that it needed so far.

Margins are in units of each line's own error, for classes of how many items near in size stand behind it. Where no item
tells anything it says what `own_range` says.
"""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import NUMERIC_NAMES, Features
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.blending import blend
from crowdrun.predictor.learners.own_range import LARGEST_PLACE, OwnRange
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.settings import PartSettings

#: A line that never missed may still do so, log2 (0.3%).
SMALLEST_SPREAD_LOG2 = 0.004
#: Classes of how many items are near in size: under 1, 2, 4, 8, more.
NEAR_EDGES = np.log2(1 + np.array([1, 2, 4, 8]))
#: Before there were any: the margins of a normal distribution, wide.
_FIRST_PLACES: Array = 1.5 * np.array(
    [-2.05, -1.64, -1.28, -0.84, -0.39, 0.0, 0.39, 0.84, 1.28, 1.64, 1.96, 2.33, 2.88]
)


class ByItem(Learner):
    name = "by_item"

    def fit(self, features: Features, target: Array) -> None:
        self._own_range = OwnRange(self.seed)
        self._own_range.fit(features, target)
        told, near, middle, spread = _lines(features)
        place = np.clip((target[told] - middle) / spread, -LARGEST_PLACE, LARGEST_PLACE)
        wide = blend(place, _FIRST_PLACES)
        self._places = np.stack([blend(place[near == k], wide) for k in range(len(NEAR_EDGES) + 1)])

    def predict(self, features: Features) -> Array:
        result = self._own_range.predict(features)
        told, near, middle, spread = _lines(features)
        result[told] = middle[:, None] + spread[:, None] * self._places[near]
        return result

    def save(self, folder: Path) -> None:
        self._own_range.save(folder)
        np.savez(folder / "by_item.npz", places=self._places)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._own_range = OwnRange.load(folder)
        learner._places = load_arrays(folder / "by_item.npz")["places"].astype(np.float64)
        return learner


_VALUE, _SPREAD, _NEAR = (NUMERIC_NAMES.index(name) for name in ("item_value", "item_spread", "item_near"))


def _lines(features: Features) -> tuple[NDArray[np.bool_], NDArray[np.intp], Array, Array]:
    """Where an item tells something, and there: the class of its near items, the middle, the spread."""
    numeric = features.numeric
    told = ~np.isnan(numeric[:, _VALUE])
    middle, spread = numeric[told, _VALUE].astype(np.float64), numeric[told, _SPREAD].astype(np.float64)
    near = np.searchsorted(NEAR_EDGES, numeric[told, _NEAR].astype(np.float64))
    return told, near, middle, spread + SMALLEST_SPREAD_LOG2
