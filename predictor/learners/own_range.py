"""The family's own range: where a value falls between the middle and the top of what the closest past jobs used.

`recent` adds the same margins to all; here they are in units of the family's own spread. A step that always holds 39.4
GB is told within a few MB, one that needs 2 or 35 GB is not. Beyond the top the margins are those of all families with
as many past jobs, again in units of each one's spread.
"""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import NUMERIC_NAMES, Features
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.blending import blend
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings

#: Classes of how many values the closest relation has: 1, 2, 3-4, 5-8, 9-16, 17-39, all that are remembered.
COUNT_EDGES = np.log2(1 + np.array([1, 2, 4, 8, 16, 39])) + 1e-6
#: Relations are told apart as: the family itself, jobs of one name or user, anything else.
RELATION_CLASSES = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
_CELLS = (int(RELATION_CLASSES.max()) + 1, len(COUNT_EDGES) + 1)
#: Values that are closer than this are one, log2 (1%): a family that never varied has some spread all the same.
SMALLEST_SPREAD_LOG2 = 0.015
#: What of the way from the median, and from the lowest value, to the highest makes the spread: half of both is worse,
#: since margins grow less than the range does (docs/log.md).
MIDDLE_SHARE, WHOLE_SHARE = 0.3, 0.1
#: The spread that a family with few values is lent, log2, and how many values it counts for.
LENT_SPREAD_LOG2 = 0.3
LENT_VALUES = 0.5
#: Places are cut here: a single odd job must not decide.
LARGEST_PLACE = 200.0


class OwnRange(Learner):
    name = "own_range"

    def fit(self, features: Features, target: Array) -> None:
        kind, count, top, spread = _ranges(features)
        place = np.clip((target - top) / spread, -LARGEST_PLACE, LARGEST_PLACE)
        everything = np.quantile(place, LEVELS)
        self._places = np.empty((*_CELLS, len(LEVELS)))
        for k in range(_CELLS[0]):
            of_kind = kind == k
            wide = blend(place[of_kind], everything)
            for c in range(_CELLS[1]):
                self._places[k, c] = blend(place[of_kind & (count == c)], wide)

    def predict(self, features: Features) -> Array:
        kind, count, top, spread = _ranges(features)
        result: Array = top[:, None] + spread[:, None] * self._places[kind, count]
        return result

    def save(self, folder: Path) -> None:
        np.savez(folder / "own_range.npz", places=self._places)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._places = load_arrays(folder / "own_range.npz")["places"].astype(np.float64)
        return learner


def _columns(statistic: str) -> NDArray[np.intp]:
    return np.array([NUMERIC_NAMES.index(f"{statistic} ({relation})") for relation in RELATIONS])


_HIGHEST, _MEDIAN, _LOWEST, _COUNT = (_columns(name) for name in ("highest", "median", "lowest", "count"))
_RELATION = NUMERIC_NAMES.index("anchor_relation")


def _ranges(features: Features) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """Class of the closest relation, class of its count, the highest value relative to the anchor, and the spread."""
    relation = features.numeric[:, _RELATION].astype(np.intp)
    rows, reach = np.arange(len(features)), np.minimum(relation, len(RELATIONS) - 1)
    logs = features.numeric[rows, _COUNT[reach]].astype(np.float64)
    highest, median, lowest = (
        np.nan_to_num(features.numeric[rows, column[reach]].astype(np.float64))
        for column in (_HIGHEST, _MEDIAN, _LOWEST)
    )
    own = MIDDLE_SHARE * (highest - median) + WHOLE_SHARE * (highest - lowest) + SMALLEST_SPREAD_LOG2
    known = np.exp2(logs) - 1
    lent = LENT_VALUES / np.maximum(known, LENT_VALUES) ** 2
    return RELATION_CLASSES[relation], np.searchsorted(COUNT_EDGES, logs), highest, own + lent * LENT_SPREAD_LOG2
